"""What an sObject is made of, and how describe tells it."""

SOAP = {"boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double", "currency": "xsd:double",
        "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime", "id": "tns:ID", "reference": "tns:ID"}
NUMBERS = frozenset(("int", "double", "currency", "percent"))
TEXTS = frozenset(("string", "textarea", "picklist", "multipicklist", "email", "phone", "url", "combobox"))
PICKS = frozenset(("picklist", "multipicklist", "combobox"))
ROW_URLS = ("defaultValues", "describe", "layouts", "approvalLayouts", "compactLayouts", "listviews", "quickActions")


class Option:
    __slots__ = ("value", "label", "active", "default")

    def __init__(self, doc):
        if isinstance(doc, str):
            doc = {"value": doc}
        self.value = doc["value"]
        self.label = doc.get("label", self.value)
        self.active = doc.get("active", True)
        self.default = doc.get("default", False)


class Field:
    MEMBERS = {"name", "type", "label", "length", "precision", "scale", "required", "create", "update", "external",
               "unique", "case_sensitive", "options", "restricted", "refs", "relation", "child", "cascade", "default",
               "defaulted", "calculated", "sortable", "html", "name_field", "needs"}

    def __init__(self, name, type="string", length=None, **more):
        unknown = set(more) - self.MEMBERS
        if unknown:
            raise ValueError("unknown member of a field: %s; allowed: %s"
                             % (", ".join(sorted(unknown)), ", ".join(sorted(self.MEMBERS))))
        self.name = name
        self.type = type
        self.custom = name.lower().endswith("__c")
        self.label = more.get("label") or name.replace("__c", "").replace("_", " ")
        sizes = {"string": 255, "textarea": 255, "picklist": 255, "multipicklist": 4099, "email": 80, "phone": 40,
                 "url": 255, "id": 18, "reference": 18}
        self.length = length if length is not None else sizes.get(type, 0)
        self.precision = more.get("precision", 18 if type in ("double", "currency", "percent") else 0)
        self.scale = more.get("scale", 2 if type == "currency" else 0)
        self.required = more.get("required", False)
        self.create = more.get("create", True)
        self.update = more.get("update", True)
        self.external = more.get("external", False)
        self.unique = more.get("unique", False)
        self.case_sensitive = more.get("case_sensitive", False)
        self.restricted = more.get("restricted", False)
        self.refs = tuple(more.get("refs", ()))
        self.relation = more.get("relation")
        if type == "reference" and self.relation is None:
            self.relation = name[:-1] + "r" if self.custom else name[:-2]
        self.child = more.get("child")
        self.cascade = more.get("cascade", False)
        self.default = more.get("default")
        self.defaulted = more.get("defaulted", self.default is not None or type == "boolean")
        self.calculated = more.get("calculated", False)
        self.name_field = more.get("name_field", False)
        self.needs = more.get("needs")
        self.hidden = False
        self.set_options(more.get("options", ()))

    def set_options(self, options):
        self.options = [Option(o) for o in options]
        self.active = {o.value: n for n, o in enumerate(self.options) if o.active}
        for o in self.options:
            if o.default and self.default is None and self.type == "picklist":
                self.default, self.defaulted = o.value, True

    @property
    def filterable(self):
        return not (self.type == "textarea" and self.length > 255)

    def describe(self):
        number = self.type in ("double", "currency", "percent")
        text = self.type in TEXTS
        return {
            "aggregatable": self.filterable, "aiPredictionField": False, "autoNumber": False,
            "byteLength": self.length * 3 if text else self.length, "calculated": self.calculated,
            "calculatedFormula": None, "cascadeDelete": self.cascade, "caseSensitive": self.case_sensitive,
            "compoundFieldName": None, "controllerName": None, "createable": self.create, "custom": self.custom,
            "defaultValue": self.default if self.type == "boolean" or self.custom else None,
            "defaultValueFormula": None, "defaultedOnCreate": self.defaulted, "dependentPicklist": False,
            "deprecatedAndHidden": False, "digits": self.precision if self.type == "int" else 0,
            "displayLocationInDecimal": False, "encrypted": False, "externalId": self.external,
            "extraTypeInfo": "plaintextarea" if self.type == "textarea" and self.length > 255 else None,
            "filterable": self.filterable, "filteredLookupInfo": None, "formulaTreatNullNumberAsZero": False,
            "groupable": self.filterable and not number, "highScaleNumber": False, "htmlFormatted": False,
            "idLookup": self.external or self.type == "id" or (self.type == "email" and not self.custom)
            or self.name_field, "inlineHelpText": None, "label": self.label, "length": self.length, "mask": None,
            "maskType": None, "name": self.name, "nameField": self.name_field, "namePointing": len(self.refs) > 1,
            "nillable": not self.required and self.type != "boolean", "permissionable": self.custom,
            "picklistValues": [{"active": o.active, "defaultValue": o.default, "label": o.label, "validFor": None,
                                "value": o.value} for o in self.options],
            "polymorphicForeignKey": len(self.refs) > 1, "precision": self.precision if number else 0,
            "queryByDistance": False, "referenceTargetField": None, "referenceTo": list(self.refs),
            "relationshipName": self.relation, "relationshipOrder": 0 if self.cascade and self.custom else None,
            "restrictedDelete": False, "restrictedPicklist": self.restricted, "scale": self.scale if number else 0,
            "searchPrefilterable": False, "soapType": SOAP.get(self.type, "xsd:string"),
            "sortable": self.type != "multipicklist" and self.filterable, "type": self.type, "unique": self.unique,
            "updateable": self.update, "writeRequiresMasterRead": False}


class Table:
    def __init__(self, name, label, prefix, fields, plural=None, needs=None, create=True, update=True, delete=True,
                 bin=True, queryable=True, system=True):
        self.name = name
        self.label = label
        self.plural = plural or label + "s"
        self.prefix = prefix
        self.custom = name.lower().endswith("__c")
        self.needs = needs
        self.create, self.update, self.delete = create, update, delete
        self.bin = bin
        self.queryable = queryable
        self.fields = {}
        self.lower = {}
        self.changed = 0.0
        self.quirks, self.computed, self.read_only = {}, {}, False
        for field in fields:
            self.add(field)
        if system:
            for field in system_fields():
                if field.name not in self.fields:
                    self.add(field)
        self.refresh()

    def add(self, field):
        self.fields[field.name] = field
        self.lower[field.name.lower()] = field

    def drop(self, name):
        field = self.lower.pop(name.lower(), None)
        if field is None:
            return False
        del self.fields[field.name]
        self.refresh()
        return True

    def refresh(self):
        """What writes need to know at once."""
        self.references = [f for f in self.fields.values() if f.type == "reference"]
        self.relations = {f.relation.lower(): f for f in self.references if f.relation}
        self.uniques = [f for f in self.fields.values() if f.unique]
        self.required = [f for f in self.fields.values() if f.required and f.create and not f.defaulted]
        self.defaults = [f for f in self.fields.values() if f.default is not None]
        self.booleans = [f.name for f in self.fields.values() if f.type == "boolean"]
        self.name_of = next((f.name for f in self.fields.values() if f.name_field), None)

    def field(self, name):
        return self.fields.get(name) or self.lower.get(name.lower())


def system_fields():
    return [Field("IsDeleted", "boolean", label="Deleted", create=False, update=False),
            Field("CreatedDate", "datetime", required=True, defaulted=True, create=False, update=False),
            Field("CreatedById", "reference", required=True, defaulted=True, create=False, update=False,
                  refs=("User",)),
            Field("LastModifiedDate", "datetime", required=True, defaulted=True, create=False, update=False),
            Field("LastModifiedById", "reference", required=True, defaulted=True, create=False, update=False,
                  refs=("User",)),
            Field("SystemModstamp", "datetime", required=True, defaulted=True, create=False, update=False)]


def urls(root, name):
    base = "%s/sobjects/%s" % (root, name)
    return {"sobject": base, "describe": base + "/describe", "rowTemplate": base + "/{ID}"}


def summary(table, root):
    return {"activateable": False, "createable": table.create, "custom": table.custom, "customSetting": False,
            "deletable": table.delete, "deprecatedAndHidden": False, "feedEnabled": False, "hasSubtypes": False,
            "isSubtype": False, "keyPrefix": table.prefix, "label": table.label, "labelPlural": table.plural,
            "layoutable": True, "mergeable": table.name in ("Account", "Contact", "Lead"), "mruEnabled": True,
            "name": table.name, "queryable": table.queryable, "replicateable": table.create and table.delete,
            "retrieveable": True, "searchable": True, "triggerable": True, "undeletable": table.bin and table.delete,
            "updateable": table.update, "urls": urls(root, table.name)}
