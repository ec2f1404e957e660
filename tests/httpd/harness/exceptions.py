"""What one CRM of the suite does otherwise by its vendor's nature: tests that do not run for Salesforce, and those that ask something else of it.

Keyed by the test's name, without parameters: EXCEPTIONS are skipped, DIFFERENCES run with a branch on `world.kind`. The value is the vendor's reason.
"""

EXCEPTIONS = {
}

DIFFERENCES = {
}


def reason(kind, name):
    """Why this test does not run for this CRM; None = it does."""
    return EXCEPTIONS.get(name) if kind == "salesforce" else None
