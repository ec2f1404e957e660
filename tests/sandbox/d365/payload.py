"""Reading a request body into changes of columns, and the rows nested in it."""
from . import values
from .errors import bad_argument, bad_payload
from .schema import LOOKUPS


class Payload:
    """changes: column -> kept value (None = null); children: rows to make with this one."""

    __slots__ = ("changes", "parents", "children")

    def __init__(self):
        self.changes = {}
        self.parents = []
        self.children = []


def invalid_property(table, name):
    return bad_payload(
        table.set_name,
        "Microsoft.OData.ODataException: An error occurred while validating input parameters: Invalid "
        "property '%s' was found in entity 'Microsoft.Dynamics.CRM.%s'" % (name, table.name))


def undeclared(table, name):
    return bad_payload(
        table.set_name,
        "Microsoft.OData.ODataException: An undeclared property '%s' which only has property annotations "
        "in the payload but no property value was found in the payload. In OData, only declared "
        "navigation properties and declared named streams can be represented as properties without "
        "values" % name)


def read_object(table_set, body):
    try:
        doc = values.load_json(body)
    except (ValueError, UnicodeDecodeError) as e:
        raise bad_payload(table_set, "Microsoft.OData.ODataException: Invalid JSON. %s" % e) from None
    if not isinstance(doc, dict):
        raise bad_payload(table_set, "Microsoft.OData.ODataException: A JSON object was expected")
    return doc


def read_payload(service, table, doc, creating):
    out = Payload()
    for name, value in doc.items():
        col = table.wire.get(name)
        if col is not None and "@" not in name:
            _plain(table, col, name, value, creating, out)
        elif name.endswith("@odata.bind"):
            _bind(service, table, name[:-11], value, out)
        elif name.startswith("@") or "@" in name:
            continue
        elif name in table.navs:
            _navigation(table, name, value, creating, out)
        elif name in table.inverses and isinstance(value, list) and creating:
            out.children.append((table.inverses[name], value))
        else:
            raise invalid_property(table, name)
    return out


def _plain(table, col, name, value, creating, out):
    if col.type in LOOKUPS:
        raise bad_payload(
            table.set_name,
            "Microsoft.Crm.CrmException: CRM do not support direct update of Entity Reference properties, "
            "Use Navigation properties instead")
    kept = values.accept(table, col, value)
    if col.name == table.pk:
        out.changes[col.name] = kept
        return
    if not (col.create if creating else col.update):
        return
    if kept is None and col.required == "SystemRequired" and value is None:
        raise bad_argument("Attribute: %s cannot be set to NULL" % col.name)
    out.changes[col.name] = kept


def _bind(service, table, nav, value, out):
    found = table.navs.get(nav)
    if found is None:
        raise undeclared(table, nav)
    col, target = found
    if value is None:
        _clear(col, out)
        return
    if not isinstance(value, str):
        raise values.kind_error(table.set_name, value, "Edm.String")
    kind, row = service.resolve_reference(value)
    if kind.name not in col.targets or (target is not None and kind.name != target):
        raise bad_payload(
            table.set_name,
            "Microsoft.OData.ODataException: The bind of '%s' names the entity set '%s', which is not of "
            "the type the property has" % (nav, kind.set_name))
    if not (col.create or col.update):
        return
    out.changes[col.name] = row.id
    if len(col.targets) > 1:
        out.changes[col.name + "@"] = kind.name


def _clear(col, out):
    if col.required == "SystemRequired":
        raise bad_argument("Attribute: %s cannot be set to NULL" % col.name)
    out.changes[col.name] = None
    if len(col.targets) > 1:
        out.changes[col.name + "@"] = None


def _navigation(table, nav, value, creating, out):
    col, target = table.navs[nav]
    if value is None:
        _clear(col, out)
    elif isinstance(value, dict) and creating and target:
        out.parents.append((col, target, value))
    else:
        raise bad_payload(
            table.set_name,
            "Microsoft.OData.ODataException: A '%s' value of the navigation property '%s' cannot be "
            "written here; bind it with '%s@odata.bind'" % (type(value).__name__, nav, nav))
