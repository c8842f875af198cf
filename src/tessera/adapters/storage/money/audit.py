"""The audit of money in and out: every payment credited once, every claim, refund and voucher moved what it says."""

_TOPUPS = """
SELECT 'top-up ' || topup.id || ' of ' || topup.amount_nanos || ' became lot ' || coalesce(topup.lot_id, 'none')
    || ' of ' || coalesce(lot.amount_nanos, 0)
FROM topup LEFT JOIN lot ON lot.id = topup.lot_id LEFT JOIN wallet ON wallet.id = lot.wallet_id
WHERE state = 'paid' AND (lot.id IS NULL OR lot.amount_nanos <> topup.amount_nanos
    OR wallet.organization_id <> topup.organization_id OR wallet.mode <> topup.mode)
UNION ALL
SELECT 'top-up ' || id || ' is ' || state || ' and has a lot' FROM topup WHERE state <> 'paid' AND lot_id IS NOT NULL
UNION ALL
SELECT 'payment ' || payment_id || ' paid ' || count(*) || ' top-ups' FROM topup WHERE payment_id IS NOT NULL
GROUP BY service, payment_id HAVING count(*) > 1
"""

_DISPUTED = """
SELECT 'wallet ' || wallet.id || ' has ' || disputed_nanos || ' disputed, its disputes took ' || coalesce(taken.sum, 0)
    || ', its refunds are owed ' || coalesce(owed.sum, 0)
FROM wallet LEFT JOIN (
    SELECT wallet_id, sum(CASE WHEN kind = 'dispute' THEN amount_nanos ELSE -amount_nanos END) AS sum
    FROM adjustment WHERE kind IN ('dispute', 'dispute_won') AND 'available' IN (from_account, to_account)
    GROUP BY wallet_id
) AS taken ON taken.wallet_id = wallet.id LEFT JOIN (
    SELECT wallet_id, sum(left_nanos) AS sum FROM owed_refund GROUP BY wallet_id
) AS owed ON owed.wallet_id = wallet.id
WHERE disputed_nanos <> coalesce(taken.sum, 0) + coalesce(owed.sum, 0)
"""

_OWED = """
SELECT 'refund ' || owed.id || ' waits for ' || left_nanos || ' of ' || owed.amount_nanos || ', its movements say '
    || coalesce(moved.owed, 0) || ', ended ' || coalesce(moved.ended, 0)
FROM owed_refund AS owed LEFT JOIN (
    SELECT subject, wallet_id, sum(CASE WHEN from_account = 'owed' THEN amount_nanos ELSE 0 END) AS owed,
        sum(CASE WHEN to_account = 'owed' THEN amount_nanos ELSE 0 END) AS ended
    FROM adjustment WHERE 'owed' IN (from_account, to_account) GROUP BY subject, wallet_id
) AS moved ON moved.subject = owed.id AND moved.wallet_id = owed.wallet_id
WHERE owed.amount_nanos <> coalesce(moved.owed, 0) OR left_nanos <> owed.amount_nanos - coalesce(moved.ended, 0)
UNION ALL
SELECT 'adjustment ' || id || ' belongs to no refund that waited' FROM adjustment
WHERE 'owed' IN (from_account, to_account)
    AND NOT EXISTS (SELECT 1 FROM owed_refund AS owed WHERE owed.id = adjustment.subject)
UNION ALL
SELECT 'refund ' || id || ' waits for ' || left_nanos || ', its calls hold ' || coalesce(drawn.sum, 0)
FROM owed_refund AS owed LEFT JOIN (
    SELECT service, refund_id, sum(amount_nanos) AS sum FROM owed_draw GROUP BY service, refund_id
) AS drawn ON drawn.service = owed.service AND drawn.refund_id = owed.id
WHERE left_nanos > coalesce(drawn.sum, 0) OR (left_nanos = 0 AND drawn.sum IS NOT NULL)
UNION ALL
SELECT 'refund ' || refund_id || ' waits for what call ' || waiting.hold_number || ' did not draw'
FROM owed_draw AS waiting
WHERE NOT EXISTS (
    SELECT 1 FROM lot_draw AS drawn WHERE drawn.hold_number = waiting.hold_number AND drawn.lot_id = waiting.lot_id
        AND drawn.amount_nanos = waiting.amount_nanos
)
"""

_CLAIMS = """
SELECT claim.kind || ' ' || claim.id || ' of ' || claim.amount_nanos || ' is ' || claim.state || ' and moved '
    || coalesce(moved.taken, 0) || ', back ' || coalesce(moved.returned, 0)
FROM payment_claim AS claim LEFT JOIN (
    SELECT subject, sum(CASE WHEN kind IN ('payment_refund', 'dispute') THEN amount_nanos ELSE 0 END) AS taken,
        sum(CASE WHEN kind IN ('payment_refund_failed', 'dispute_won') THEN amount_nanos ELSE 0 END) AS returned
    FROM adjustment GROUP BY subject
) AS moved ON moved.subject = claim.id
WHERE CASE claim.state
    WHEN 'waiting' THEN coalesce(moved.taken, 0) + coalesce(moved.returned, 0)
    WHEN 'applied' THEN abs(coalesce(moved.taken, 0) - claim.amount_nanos) + coalesce(moved.returned, 0)
    ELSE abs(coalesce(moved.taken, 0) - coalesce(moved.returned, 0)) END <> 0
UNION ALL
SELECT 'adjustment ' || id || ' has no claim' FROM adjustment
WHERE kind IN ('payment_refund', 'payment_refund_failed', 'dispute', 'dispute_won')
    AND NOT EXISTS (SELECT 1 FROM payment_claim AS claim WHERE claim.id = adjustment.subject)
"""

_CHARGE_REFUNDS = """
SELECT 'request ' || hold.id || ' was charged ' || hold.charge_nanos || ' and refunded ' || refund.amount_nanos
    || ', its movements say ' || coalesce(moved.sum, 0)
FROM charge_refund AS refund JOIN hold ON hold.number = refund.hold_number LEFT JOIN (
    SELECT subject, wallet_id, sum(amount_nanos) AS sum FROM adjustment WHERE kind = 'charge_refund'
    GROUP BY subject, wallet_id
) AS moved ON moved.subject = hold.id AND moved.wallet_id = hold.wallet_id
WHERE refund.amount_nanos > hold.charge_nanos OR refund.charge_nanos <> hold.charge_nanos
    OR refund.amount_nanos <> coalesce(moved.sum, 0)
UNION ALL
SELECT 'adjustment ' || adjustment.id || ' refunds no call' FROM adjustment
WHERE kind = 'charge_refund' AND NOT EXISTS (
    SELECT 1 FROM charge_refund JOIN hold ON hold.number = hold_number WHERE hold.id = adjustment.subject
)
"""

_TAXES = """
SELECT 'top-up ' || topup.id || ' came with ' || tax_nanos || ' of tax, its movements say ' || coalesce(moved.sum, 0)
FROM topup LEFT JOIN (
    SELECT subject, sum(amount_nanos) AS sum FROM adjustment WHERE kind = 'tax' GROUP BY subject
) AS moved ON moved.subject = topup.id
WHERE tax_nanos <> coalesce(moved.sum, 0)
UNION ALL
SELECT 'adjustment ' || id || ' is the tax of no top-up' FROM adjustment
WHERE kind = 'tax' AND NOT EXISTS (SELECT 1 FROM topup WHERE topup.id = adjustment.subject)
UNION ALL
SELECT 'more tax of payment ' || topup.payment_id || ' went back than came: ' || sum(moved.amount_nanos)
FROM topup JOIN payment_claim AS claim ON claim.service = topup.service AND claim.payment_id = topup.payment_id
JOIN adjustment AS moved ON moved.subject = claim.id AND moved.from_account = 'tax'
WHERE claim.state = 'applied'
GROUP BY topup.id, topup.payment_id, topup.tax_nanos HAVING sum(moved.amount_nanos) > topup.tax_nanos
"""

_FEES = """
SELECT 'fee ' || fee.id || ' of ' || fee.amount_nanos || ' is ' || fee.state || ', its movements say '
    || coalesce(moved.sum, 0)
FROM payment_fee AS fee LEFT JOIN (
    SELECT subject, sum(CASE WHEN kind = 'fee' THEN amount_nanos ELSE -amount_nanos END) AS sum
    FROM adjustment WHERE kind IN ('fee', 'fee_returned') GROUP BY subject
) AS moved ON moved.subject = fee.id
WHERE coalesce(moved.sum, 0) <> CASE WHEN fee.state = 'booked' THEN fee.amount_nanos ELSE 0 END
UNION ALL
SELECT 'adjustment ' || id || ' is no fee of a payment' FROM adjustment
WHERE kind IN ('fee', 'fee_returned')
    AND NOT EXISTS (SELECT 1 FROM payment_fee AS fee WHERE fee.id = adjustment.subject)
"""

_VOUCHERS = """
SELECT 'voucher ' || voucher.id || ' counts ' || redemptions || ' redemptions of ' || redemptions_max || ', there are '
    || count(redemption.lot_id)
FROM voucher LEFT JOIN voucher_redemption AS redemption ON redemption.voucher_id = voucher.id
GROUP BY voucher.id, redemptions, redemptions_max
HAVING redemptions <> count(redemption.lot_id) OR redemptions > redemptions_max
UNION ALL
SELECT 'voucher ' || voucher.id || ' of ' || voucher.amount_nanos || ' became lot ' || lot.id || ' of '
    || lot.amount_nanos
FROM voucher JOIN voucher_redemption AS redemption ON redemption.voucher_id = voucher.id
JOIN lot ON lot.id = redemption.lot_id JOIN wallet ON wallet.id = lot.wallet_id
WHERE lot.amount_nanos <> voucher.amount_nanos OR lot.kind <> 'promotion'
    OR wallet.organization_id <> redemption.organization_id OR wallet.mode <> voucher.mode
"""

MONEY_CHECKS = (
    ("payments-credited-once", _TOPUPS),
    ("disputes-equal-movements", _DISPUTED),
    ("claims-equal-movements", _CLAIMS),
    ("owed-refunds-equal-movements", _OWED),
    ("taxes-equal-movements", _TAXES),
    ("fees-equal-movements", _FEES),
    ("charge-refunds-within-charges", _CHARGE_REFUNDS),
    ("vouchers-redeemed-within-bounds", _VOUCHERS),
)
"""Name and query of each check; every row is a fault, in words."""
