"""What does not run for Salesforce, each with the vendor's reason. All else of a file with CRMS = (...) runs for both.

The key is "file::test", or "file::test[id]" for one case of several. `pytest -rs` prints them.
"""

SALESFORCE = {
    "test_73_rows::test_a_clone_loses_the_foreign_id_and_waits_for_a_new_opt_in":
        "Referral_Identifier__c is a unique field: Clone leaves it out, and no second row is saved with it",
    "test_50_sync::test_correlation_ids_find_the_calls": "Salesforce takes no request id of a caller and answers none",
}


def reason(item, kind):
    """Why this test does not run for this kind of CRM, or None."""
    if kind != "salesforce":
        return None
    place = item.nodeid.split("::")[0].rpartition("/")[2].removesuffix(".py") + "::"
    case = getattr(item, "callspec", None)
    ids = [part for part in (case.id.split("-") if case else []) if part != kind]
    for name in (item.originalname, "%s[%s]" % (item.originalname, "-".join(ids))):
        if place + name in SALESFORCE:
            return SALESFORCE[place + name]
    return None
