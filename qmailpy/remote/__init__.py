"""Leaving: mail exchangers, routes in use, sessions."""
