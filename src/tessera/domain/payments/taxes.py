"""Tax on payments: how much of a refund or a dispute is tax. Whole cents, one rounding.

Always holds: of a payment of `total` with `tax` in it, once `refunded` went back altogether, the tax that went back
altogether is `tax` × `refunded` ÷ `total`, rounded down to the cent; a payment that went back whole took all its tax.
"""


def tax_in(amount: int, *, total: int, tax: int, refunded: int, returned: int) -> int:
    """How much of `amount` cents is tax, when `refunded` went back before and `returned` of that was tax.

    Never less than nothing nor more than `amount`: a refund that failed in between may leave a cent for the next.
    """
    altogether = min(refunded + amount, total)
    return max(0, min(amount, tax * altogether // total - returned))


def amount_with_tax(net: int, *, total: int, tax: int, refunded: int, returned: int) -> int:
    """The largest amount in cents that gives back `net` of credit, its tax beside it.

    The credit in what went back altogether is rounded up, because the tax is rounded down; this is the inverse.
    """
    credited = total - tax
    before = refunded - returned
    return max(net, (before + net) * total // credited - refunded)
