"""EntityDefinitions: what a client asks to check a mapping, and making alternate keys."""
import re
import uuid
from urllib.parse import unquote

from . import odata, values
from .errors import ApiError, bad_query, no_segment
from .labels import all_languages, in_language
from .schema import LOOKUPS, Key
from .wire import Answer

CASTS = {
    "StringAttributeMetadata": ("text",),
    "MemoAttributeMetadata": ("memo",),
    "BooleanAttributeMetadata": ("boolean",),
    "IntegerAttributeMetadata": ("int",),
    "BigIntAttributeMetadata": ("bigint",),
    "DecimalAttributeMetadata": ("decimal",),
    "DoubleAttributeMetadata": ("double",),
    "MoneyAttributeMetadata": ("money",),
    "DateTimeAttributeMetadata": ("datetime", "date"),
    "PicklistAttributeMetadata": ("choice",),
    "MultiSelectPicklistAttributeMetadata": ("multichoice",),
    "StateAttributeMetadata": ("state",),
    "StatusAttributeMetadata": ("status",),
    "LookupAttributeMetadata": LOOKUPS,
}
TYPE_NAMES = {
    "text": "String", "memo": "Memo", "boolean": "Boolean", "int": "Integer", "bigint": "BigInt",
    "decimal": "Decimal", "double": "Double", "money": "Money", "datetime": "DateTime",
    "date": "DateTime", "choice": "Picklist", "multichoice": "Virtual", "state": "State",
    "status": "Status", "lookup": "Lookup", "owner": "Owner", "customer": "Customer",
    "guid": "Uniqueidentifier",
}
CASCADES = {"delete": "Cascade", "remove": "RemoveLink", "restrict": "Restrict", "none": "NoCascade"}
NAMESPACE = uuid.UUID("6f0f8f3e-52c8-4a53-9f1c-2f5a3a1f6d10")
PART = re.compile(r"([$\w.]+)(?:\((.*)\))?\Z", re.S)


def identity(*names):
    return str(uuid.uuid5(NAMESPACE, "/".join(names)))


def label(text, language, translations=None):
    """All translations, and the one the calling user reads."""
    every = [{"Label": one, "LanguageCode": code, "IsManaged": False,
              "MetadataId": identity("label", text, str(code)), "HasChanged": None}
             for code, one in all_languages(text, translations)]
    shown = in_language(text, language, translations)
    mine = next((e for e in every if e["LanguageCode"] == language and e["Label"] == shown), every[0])
    return {"LocalizedLabels": every, "UserLocalizedLabel": mine}


# What a role may allow in a table; rows of the organisation itself have no owner to give them away.
PRIVILEGES = ("Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share")
DEPTHS = ("Basic", "Local", "Deep", "Global")


def privileges(table):
    return [{"CanBeBasic": table.owned, "CanBeLocal": table.owned, "CanBeDeep": table.owned, "CanBeGlobal": True,
             "CanBeEntityReference": False, "CanBeParentEntityReference": False, "Name": "prv" + kind + table.schema_name,
             "PrivilegeId": identity("privilege", kind, table.name), "PrivilegeType": kind}
            for kind in PRIVILEGES if table.owned or kind not in ("Assign", "Share")]


def role_privileges(org):
    """What the roles of every user here allow: all, but what POST /_sandbox/privileges took away."""
    return [{"Depth": org.depths.get(table.name, {}).get(one["PrivilegeType"].lower(), "Global"),
             "PrivilegeId": one["PrivilegeId"], "BusinessUnitId": org.unit, "PrivilegeName": one["Name"],
             "RecordFilterId": "00000000-0000-0000-0000-000000000000"}
            for table in org.schema.tables.values() for one in privileges(table)
            if one["PrivilegeType"].lower() not in org.denied.get(table.name, ())]


def describe_table(table, language):
    return {
        "MetadataId": identity(table.name),
        "LogicalName": table.name,
        "SchemaName": table.schema_name,
        "EntitySetName": table.set_name,
        "LogicalCollectionName": table.set_name,
        "PrimaryIdAttribute": table.pk,
        "PrimaryNameAttribute": table.primary_name,
        "ObjectTypeCode": table.object_type_code,
        "ChangeTrackingEnabled": table.change_tracking,
        "IsOptimisticConcurrencyEnabled": table.optimistic,
        "IsDuplicateDetectionEnabled": {"Value": table.name in ("account", "contact", "lead"), "CanBeChanged": True},
        "IsCustomEntity": table.custom,
        "AutoCreateAccessTeams": table.name in ("opportunity", "account", "lead"),
        "OwnershipType": "UserOwned" if table.owned else "OrganizationOwned",
        "Privileges": privileges(table),
        "DisplayName": label(table.schema_name, language),
        "DisplayCollectionName": label(table.set_name, language),
    }


def describe_column(table, col, language):
    out = {
        "MetadataId": identity(table.name, col.name),
        "LogicalName": col.name,
        "SchemaName": col.schema_name,
        "EntityLogicalName": table.name,
        "AttributeType": TYPE_NAMES[col.type],
        "AttributeTypeName": {"Value": TYPE_NAMES[col.type] + "Type"},
        "RequiredLevel": {"Value": col.required, "CanBeChanged": True},
        "IsValidForCreate": col.create,
        "IsValidForUpdate": col.update,
        "IsValidForRead": col.hidden is None,
        "IsSecured": col.hidden is not None,
        "SourceType": None if col.type in (*LOOKUPS, "guid", "memo", "state", "status") else col.source,
        "IsPrimaryId": col.name == table.pk,
        "IsPrimaryName": col.name == table.primary_name,
        "IsCustomAttribute": col.custom,
        "DisplayName": label(col.label, language),
        "AttributeOf": None,
    }
    for name, kinds in CASTS.items():
        if col.type in kinds:
            out["@odata.type"] = "#Microsoft.Dynamics.CRM." + name
    out.update(details(col))
    return out


def details(col):
    if col.type in ("text", "memo"):
        return {"MaxLength": col.max, "Format": col.format or ("Text" if col.type == "text" else "TextArea")}
    if col.type in ("int", "bigint"):
        return {"MinValue": -2147483648 if col.min is None else col.min,
                "MaxValue": 2147483647 if col.max is None else col.max}
    if col.type in ("decimal", "money", "double"):
        out = {"Precision": col.precision,
               "MinValue": float(col.min if col.min is not None else -100000000000),
               "MaxValue": float(col.max if col.max is not None else 100000000000)}
        if col.type == "money":
            out["PrecisionSource"] = col.precision_source
        return out
    if col.type in ("datetime", "date"):
        return {"DateTimeBehavior": {"Value": col.behavior},
                "Format": "DateOnly" if col.type == "date" else "DateAndTime"}
    if col.type in LOOKUPS:
        return {"Targets": col.targets}
    return {}


def option_set(table, col, language):
    options = []
    for value, text in col.labels.items():
        one = {"Value": value, "Label": label(text, language, col.translations.get(value)), "IsManaged": False}
        if value in col.states:
            one["State"] = col.states[value]
        options.append(one)
    if col.type == "boolean":
        return {"MetadataId": identity(table.name, col.name, "options"), "IsGlobal": False,
                "Name": "%s_%s" % (table.name, col.name), "OptionSetType": "Boolean",
                "TrueOption": {"Value": 1, "Label": label(col.labels.get(1, "Yes"), language)},
                "FalseOption": {"Value": 0, "Label": label(col.labels.get(0, "No"), language)}}
    return {"MetadataId": identity(table.name, col.name, "options"), "IsGlobal": col.shared,
            "Name": col.name if col.shared else "%s_%s" % (table.name, col.name), "OptionSetType": TYPE_NAMES[col.type],
            "Options": options}


def describe_key(org, table, key):
    org.key_active(key)
    return {"MetadataId": key.id, "SchemaName": key.schema_name, "LogicalName": key.name,
            "EntityLogicalName": table.name, "KeyAttributes": key.columns,
            "EntityKeyIndexStatus": key.status}


def relationships(table):
    out = []
    for nav, (col, target) in table.navs.items():
        for one in [target] if target else col.targets:
            out.append({
                "MetadataId": identity(table.name, col.name, one),
                "SchemaName": "%s_%s_%s" % (one, table.name, col.name),
                "ReferencingEntity": table.name,
                "ReferencingAttribute": col.name,
                "ReferencedEntity": one,
                "ReferencingEntityNavigationPropertyName": nav,
                "ReferencedAttribute": one + "id",
                "ReferencedEntityNavigationPropertyName":
                    col.inverse.get(one) if isinstance(col.inverse, dict) else col.inverse,
                "CascadeConfiguration": {"Delete": CASCADES[col.cascade]},
            })
    return out


def referencing(org, table):
    """The same relationships seen from the table that is looked up."""
    return [r for other in org.schema.tables.values() for r in relationships(other)
            if r["ReferencedEntity"] == table.name]


def intersecting(table):
    return [{"MetadataId": identity(table.name, name), "SchemaName": name, "IntersectEntityName": through.name,
             "Entity1LogicalName": table.name, "Entity1IntersectAttribute": own, "Entity2LogicalName": far,
             "Entity2IntersectAttribute": other, "Entity1NavigationPropertyName": name}
            for name, (through, own, other, far) in table.many.items()]


def answer(service, call, segments):
    org = service.org
    first = PART.match(unquote(segments[0]))
    if first is None:
        raise bad_query("Bad Request - Error in query syntax.")
    key = first.group(2)
    if not key:
        if call.method != "GET":
            raise service.bad_verb(call)
        items = [with_expands(org, describe_table(t, language_of(org)), t, call.options)
                 for t in filtered_tables(org, call.options.get("$filter"))]
        return collection(service, call, "EntityDefinitions", items)
    table = find_table(org, key)
    call.label += "({id})" + "".join("/" + re.sub(r"\(.*", "({id})", unquote(s)) for s in segments[1:])
    if len(segments) == 1:
        doc = with_expands(org, describe_table(table, language_of(org)), table, call.options)
        return single(service, call, "EntityDefinitions/$entity", doc)
    return parts_of(service, call, table, segments[1:])


def language_of(org):
    return int(org.options["UserLanguage"])


def filtered_tables(org, text):
    """The tables a filter over their plain members lets through, before the costly part is put together."""
    tables = org.schema.tables.values()
    if text is None:
        return tables
    test = metadata_filter(text)
    return [t for t in tables if test(describe_table(t, 1033))]


def find_table(org, key):
    m = re.match(r"(?:LogicalName='(\w+)'|MetadataId=([\w-]+)|([\w-]+))\Z", key.strip())
    for table in org.schema.tables.values():
        if m and (m.group(1) == table.name or identity(table.name) in m.groups()):
            return table
    raise ApiError(404, "0x80060888", "Could not find an entity with %s." % key)


def parts_of(service, call, table, segments):
    first = PART.match(unquote(segments[0]))
    name, key = first.groups() if first else (segments[0], None)
    if name == "Keys":
        return keys(service, call, table, key)
    if call.method != "GET":
        raise service.bad_verb(call)
    if name in ("ManyToOneRelationships", "OneToManyRelationships", "ManyToManyRelationships"):
        return collection(service, call, name, relations(service.org, table, name))
    if name != "Attributes":
        raise no_segment(name)
    cast = unquote(segments[1]).rpartition(".")[2] if len(segments) > 1 else None
    kinds = CASTS.get(cast)
    if cast and kinds is None:
        raise no_segment(segments[1])
    if not cast and "OptionSet" in call.options.get("$expand", ""):
        raise bad_query("Could not find a property named 'OptionSet' on type "
                        "'Microsoft.Dynamics.CRM.AttributeMetadata'.")
    expands = dict(odata.parse_expand(call.options.get("$expand", "")))
    if set(expands) - {"OptionSet", "GlobalOptionSet"}:
        raise bad_query("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'."
                        % (set(expands) - {"OptionSet", "GlobalOptionSet"}).pop())
    language, items = language_of(service.org), []
    for col in table.columns.values():
        if kinds and col.type not in kinds:
            continue
        doc = describe_column(table, col, language)
        if "OptionSet" in expands:
            doc["OptionSet"] = None if col.shared else chosen(table, col, language, expands["OptionSet"])
        if "GlobalOptionSet" in expands:
            doc["GlobalOptionSet"] = chosen(table, col, language, expands["GlobalOptionSet"]) if col.shared else None
        items.append(doc)
    if key is None:
        return collection(service, call, "Attributes", items)
    wanted = key.strip().partition("=")[2].strip("'") or key.strip()
    for doc in items:
        if wanted in (doc["LogicalName"], doc["MetadataId"]):
            return single(service, call, "Attributes/$entity", doc)
    raise ApiError(404, "0x80060888", "Could not find an attribute with %s." % key)


def chosen(table, col, language, options):
    if not col.labels and col.type != "boolean":
        return None
    return pick(option_set(table, col, language), options.get("$select"))


def with_expands(org, doc, table, options):
    for nav, inner in odata.parse_expand(options.get("$expand", "")):
        if nav == "Attributes":
            doc["Attributes"] = narrowed([describe_column(table, c, language_of(org))
                                          for c in table.columns.values()], inner)
        elif nav == "Keys":
            doc["Keys"] = [pick(describe_key(org, table, k), inner.get("$select")) for k in table.keys]
        elif nav in ("ManyToOneRelationships", "OneToManyRelationships", "ManyToManyRelationships"):
            doc[nav] = narrowed(relations(org, table, nav), inner)
        else:
            raise bad_query("Could not find a property named '%s' on type "
                            "'Microsoft.Dynamics.CRM.EntityMetadata'." % nav)
    return doc


def relations(org, table, name):
    if name == "ManyToOneRelationships":
        return relationships(table)
    return referencing(org, table) if name == "OneToManyRelationships" else intersecting(table)


def narrowed(items, options):
    if options.get("$filter"):
        test = metadata_filter(options["$filter"])
        items = [d for d in items if test(d)]
    return [pick(d, options.get("$select")) for d in items]


def keys(service, call, table, key):
    org = service.org
    if call.method == "GET" and key is None:
        return collection(service, call, "Keys", [describe_key(org, table, k) for k in table.keys])
    if call.method == "POST" and key is None:
        return make_key(service, call, table)
    for one in list(table.keys):
        if key and one.id == key.strip().lower():
            if call.method == "DELETE":
                table.keys.remove(one)
                return service_answer(204, "")
            return single(service, call, "Keys/$entity", describe_key(org, table, one))
    raise ApiError(404, "0x80060888", "Could not find a key with %s." % key)


def make_key(service, call, table):
    org = service.org
    doc = service.body(call, "Keys")
    name, columns = doc.get("SchemaName"), doc.get("KeyAttributes")
    if not isinstance(name, str) or not isinstance(columns, list) or not columns \
            or any(c not in table.columns for c in columns):
        raise ApiError(400, "0x80048d19", "A key needs SchemaName and KeyAttributes of the table %s."
                       % table.name)
    if len(table.keys) >= 10:
        raise ApiError(400, "0x80060892", "A table can have at most 10 alternate keys.")
    made = Key(name, columns, "Pending", str(uuid.uuid4()))
    made.active_at = org.clock() + org.options["KeyIndexSeconds"]
    table.keys.append(made)
    org.rows[table.name].key_index(made.columns)
    org.schema.touched()
    where = "%s/EntityDefinitions(%s)/Keys(%s)" % (call.root, identity(table.name), made.id)
    return service_answer(204, "", {"OData-EntityId": where})


def service_answer(status, body, headers=None):
    return Answer(status, body, headers, None if status == 204 else "application/json; odata.metadata=minimal")


def pick(doc, select):
    if not select:
        return doc
    wanted = [n.strip() for n in select.split(",")]
    for name in wanted:
        if name not in doc and name not in KNOWN:
            raise bad_query("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM."
                            "MetadataBase'." % name)
    kept = {n: doc[n] for n in doc if n in wanted or n.startswith("@") or n in EXPANDED}
    kept["MetadataId"] = doc["MetadataId"]
    return kept


EXPANDED = ("Attributes", "Keys", "OptionSet", "GlobalOptionSet", "ManyToOneRelationships", "OneToManyRelationships",
            "ManyToManyRelationships")
KNOWN = ("MaxLength", "Precision", "PrecisionSource", "MinValue", "MaxValue", "Format", "DateTimeBehavior",
         "Targets")


def collection(service, call, context, items):
    if "$filter" in call.options:
        test = metadata_filter(call.options["$filter"])
        items = [d for d in items if test(d)]
    items = [pick(d, call.options.get("$select")) for d in items]
    body = values.dumps({"@odata.context": "%s/$metadata#%s" % (call.root, context), "value": items})
    return service_answer(200, body)


def single(service, call, context, doc):
    doc = pick(doc, call.options.get("$select"))
    return service_answer(200, values.dumps({"@odata.context": "%s/$metadata#%s" % (call.root, context), **doc}))


def metadata_filter(text):
    """Filters over metadata know eq, ne, and, or, not and parentheses."""
    items = odata.tokens_of(text, "$filter")
    at = 0

    def fail():
        return bad_query("Syntax error at position %d in '%s'." % (at, text))

    def term():
        nonlocal at
        if at + 3 > len(items) or items[at][0] != "name" or items[at + 1][1] not in ("eq", "ne"):
            raise fail()
        path, op, (kind, value) = items[at][1].split("/"), items[at + 1][1], items[at + 2]
        at += 3
        if kind in ("str", "enum"):
            value = value[value.index("'") + 1:-1].replace("''", "'")
        elif kind == "name":
            value = {"true": True, "false": False, "null": None}.get(value, value)
        elif kind == "num":
            value = int(value)

        def test(doc):
            for part in path:
                doc = doc.get(part) if isinstance(doc, dict) else None
            return (doc == value) == (op == "eq")
        return test

    def unary():
        nonlocal at
        if at < len(items) and items[at] == ("name", "not"):
            at += 1
            inner = unary()
            return lambda doc: not inner(doc)
        if at < len(items) and items[at] == ("punct", "("):
            at += 1
            inner = either()
            if at >= len(items) or items[at] != ("punct", ")"):
                raise fail()
            at += 1
            return inner
        return term()

    def chain(word, part, whole):
        nonlocal at
        tests = [part()]
        while at < len(items) and items[at] == ("name", word):
            at += 1
            tests.append(part())
        return lambda doc: whole(t(doc) for t in tests)

    def either():
        return chain("or", lambda: chain("and", unary, all), any)

    test = either()
    if at < len(items):
        raise fail()
    return test
