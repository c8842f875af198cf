"""What these tests share: a server that takes payments at a stand-in of Stripe."""

from payment_servers import shop

__all__ = ["shop"]
