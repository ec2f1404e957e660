"""What must hold before a row is stored."""
from . import values
from .errors import ApiError, data_error


def references(org, table, changes):
    for field in table.references:
        id = changes.get(field.name)
        if id is None:
            continue
        target, row = org.by_id(id)
        if target is None or target.name not in field.refs:
            raise ApiError(400, "MALFORMED_ID", "%s: id value of incorrect type: %s" % (field.label, id),
                           (field.name,))
        if row is None:
            if id in org.rows[target.name].bin:
                raise ApiError(400, "ENTITY_IS_DELETED", "entity is deleted", ())
            raise data_error("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if field.name == "OwnerId" and target.name == "User" and not row.get("IsActive"):
            raise data_error("INACTIVE_OWNER_OR_USER", "operation performed with inactive user [%s] as owner of %s"
                             % (id[:15], table.label.lower()))
        if field.name == "RecordTypeId" and row.get("SobjectType") != table.name:
            raise data_error("INVALID_CROSS_REFERENCE_KEY", "Record Type ID: this ID value isn't valid for the "
                             "user: %s" % id, "RecordTypeId")


def unique(org, table, id, changes, vals):
    for field in table.uniques:
        if field.name not in changes or vals.get(field.name) is None:
            continue
        for other in org.matching(table, field, vals[field.name]):
            if other != id:
                raise ApiError(400, "DUPLICATE_VALUE", "duplicate value found: %s duplicates value on record with "
                               "id: %s" % (field.name, other[:15]), ())


def duplicates(org, table, id, vals, actor):
    rule = org.duplicate_rules.get(table.name)
    if rule is None or not rule.get("rules") or (actor.allow_save and rule.get("allowSave", True)):
        return
    rows = org.rows[table.name]
    for names in rule["rules"]:
        if any(vals.get(n) is None for n in names):
            continue
        found = [i for i in rows.index(names[0]).get(values.fold(vals[names[0]]), ()) if i != id and all(
            values.fold(rows.now[i].get(n)) == values.fold(vals[n]) for n in names)]
        if found:
            raise found_twice(table, rule, found)


def found_twice(table, rule, found):
    name = rule.get("name", "Standard_%s_Duplicate_Rule" % table.name)
    text = rule.get("message", "Use one of these records?")
    records = [{"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": {
        "attributes": {"type": table.name, "url": "/services/data/v60.0/sobjects/%s/%s" % (table.name, id)},
        "Id": id}} for id in found]
    return ApiError(400, "DUPLICATES_DETECTED", text, None, {"duplicateResut": {
        "allowSave": rule.get("allowSave", True), "duplicateRule": name, "duplicateRuleEntityType": table.name,
        "errorMessage": text, "matchResults": [{
            "entityType": table.name, "errors": [], "matchEngine": "ExactMatchEngine", "matchRecords": records,
            "rule": name.replace("Duplicate", "Matching"), "size": len(records), "success": True}]}})
