"""TLS and login of Kafka clients: what each library wants, made from one set of settings."""
