"""Mutation testing of what decides about money: small changes to the rules, each of which some test must notice."""
