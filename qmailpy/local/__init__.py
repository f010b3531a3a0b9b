"""Arriving home: .qmail instructions carried out as the user they belong to."""
