"""What people do to rows in one go: merging them, converting leads."""
from . import ids
from .errors import ApiError, data_error


def merge(org, table, winner, loser, actor):
    """The loser's references go to the winner, the loser into the recycle bin with MasterRecordId."""
    if table.name not in ("Account", "Contact", "Lead"):
        raise ApiError(400, "INVALID_TYPE", "%s cannot be merged" % table.name)
    if winner == loser:
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "a record cannot be merged with itself")
    with org.atomic():
        for child in org.tables.values():
            for field in child.references:
                if table.name in field.refs and field.name != "MasterRecordId":
                    for one in list(org.rows[child.name].index(field.name).get(loser.casefold(), ())):
                        org.touch(child, one, {field.name: winner}, actor)
        org.drop(table, loser, actor, loser, winner)
        org.touch(table, winner, {}, actor, False)
    org.tell(table, winner, "update", {"Id"}, actor)


def convert(org, doc, actor):
    """{"lead","account"?,"contact"?,"opportunity": true|false|name,"status"?,"map"?} -> the ids of what it became."""
    lead, id = org.tables["Lead"], ids.canonical(doc["lead"])
    vals = org.rows["Lead"].now.get(id)
    if vals is None:
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted")
    if vals["IsConverted"]:
        raise data_error("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead")
    with org.atomic():
        out = {"lead": id, "account": ids.canonical(doc["account"]) if doc.get("account") else None,
               "contact": ids.canonical(doc["contact"]) if doc.get("contact") else None, "opportunity": None}
        if out["account"] is None:
            out["account"] = new_account(org, vals, actor)
        if out["contact"] is None:
            out["contact"] = new_contact(org, vals, out["account"], actor)
        if doc.get("opportunity", True) is not False:
            out["opportunity"] = new_opportunity(org, vals, doc, out, actor)
        status = doc.get("status") or next(
            r["ApiName"] for r in org.rows["LeadStatus"].now.values() if r["IsConverted"])
        org.touch(lead, id, {
            "IsConverted": True, "Status": status, "ConvertedDate": org.today(), "ConvertedAccountId": out["account"],
            "ConvertedContactId": out["contact"], "ConvertedOpportunityId": out["opportunity"],
            "IsUnreadByOwner": False}, actor, False)
    org.tell(lead, id, "update", {"IsConverted", "Status"}, actor)
    return out


def taken(vals, pairs):
    return {to: vals[name] for name, to in pairs if vals.get(name) is not None}


def new_account(org, vals, actor):
    body = taken(vals, [("Company", "Name"), ("Phone", "Phone"), ("Website", "Website"), ("Street", "BillingStreet"),
                        ("City", "BillingCity"), ("State", "BillingState"), ("PostalCode", "BillingPostalCode"),
                        ("Country", "BillingCountry"), ("NumberOfEmployees", "NumberOfEmployees"),
                        ("AnnualRevenue", "AnnualRevenue"), ("OwnerId", "OwnerId")])
    return org.insert(org.tables["Account"], user_owned(org, body, actor), actor)


def user_owned(org, body, actor):
    """What a queue owns becomes its converter's."""
    if not body.get("OwnerId", "").startswith("005"):
        body["OwnerId"] = actor.user
    return body


def new_contact(org, vals, account, actor):
    body = taken(vals, [("LastName", "LastName"), ("FirstName", "FirstName"), ("Email", "Email"), ("Phone", "Phone"),
                        ("MobilePhone", "MobilePhone"), ("Title", "Title"), ("OwnerId", "OwnerId")])
    body["AccountId"] = account
    return org.insert(org.tables["Contact"], user_owned(org, body, actor), actor)


def new_opportunity(org, vals, doc, out, actor):
    wanted = doc.get("opportunity", True)
    stage = next(s for s, r in org.stages.items() if r["IsActive"])
    body = {"Name": wanted if isinstance(wanted, str) else vals["Company"] + "-", "AccountId": out["account"],
            "StageName": doc.get("stage", stage), "CloseDate": org.quarter_end(), "OwnerId": vals["OwnerId"],
            "ContactId": out["contact"]}
    if vals.get("LeadSource"):
        body["LeadSource"] = vals["LeadSource"]
    if vals.get("CurrencyIsoCode"):
        body["CurrencyIsoCode"] = vals["CurrencyIsoCode"]
    for name, to in {**org.lead_map, **doc.get("map", {})}.items():
        if vals.get(name) is not None:
            body[to] = vals[name]
    return org.insert(org.tables["Opportunity"], user_owned(org, body, actor), actor)
