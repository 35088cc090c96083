"""Commands about topics of others: what everfresh says of them, and the bridge that reads them."""
