"""What may be written to a referral: JSON Patch paths, value checks, the status machine, required members."""

import re

from simlib import parse_iso

from .errors import refuse

STATUSES = ("None", "New", "Active", "Closed")
SUBSTATUSES = ("None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired")
WITHIN = {"New": ("Pending", "Received"), "Active": ("Accepted",), "Closed": ("Won", "Lost", "Declined", "Expired")}
NEXT = {"New": ("New", "Active", "Closed"), "Active": ("Active", "Closed"), "Closed": ("Closed",)}
TYPES = ("Shared", "Independent")
QUALIFICATIONS = ("None", "Direct", "MarketingQualified", "SalesQualified")
ASSISTANCE = ("Unknown", "GeneralOrOther", "CustomerTechnicalArchitecture", "ProofOfConceptOrDemo", "QuotesOrLicensing",
              "PostSalesCustomerSuccess", "WorkloadSpecificValueProposition")
MAX_ITEMS = 50

PATHS = re.compile(
    r"/(?:status|substatus|statusReason|salesStage|externalReferenceId|campaignId|referralProgram"
    r"|details/(?:dealValue|currency|closingDateTime|notes)"
    r"|details/requirements/solutions(?:/-)?|team(?:/-)?|customerProfile/team(?:/-)?"
    r"|consent/consentToShareReferralWithMicrosoftSellers"
    r"|registrations/-|registrations/0/contract/(?:startDateTime|endDateTime|signDateTime|term|value)"
    r"|registrations/0/solutionDetails/0/(?:value|currency|isDeployedOnAzure|primaryDeploymentOn|pricingModel"
    r"|marketplaceTransactionDetails/(?:isMarketplaceTransacted|marketplaceTransactionDateTime)))\Z")


def enumerated(value, allowed, target):
    for name in allowed:
        if isinstance(value, str) and value.lower() == name.lower():
            return name
    raise refuse(400, "The value '%s' is not valid for %s. Valid values are: %s." % (value, target, ", ".join(allowed)),
                 target, "990001")


def money(value, target):
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise refuse(400, "The value of %s must be a number." % target, target, "990002")
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not 0 <= number < 1e15:
        raise refuse(400, "The value '%s' of %s is not valid." % (value, target), target, "990002")
    return int(number) if number == int(number) else number


def currency(value, target):
    if not isinstance(value, str) or not re.match(r"[A-Za-z]{3}\Z", value):
        raise refuse(400, "The value '%s' of %s is not an ISO 4217 code." % (value, target), target, "990003")
    return value.upper()


def moment(value, target):
    if parse_iso(value) is None:
        raise refuse(400, "The value '%s' of %s is not a date and time." % (value, target), target, "990004")
    return value


def text(value, target):
    if value is not None and not isinstance(value, str):
        raise refuse(400, "The value of %s must be a string." % target, target, "990005")
    return value


def flag(value, target):
    if not isinstance(value, bool):
        raise refuse(400, "The value of %s must be true or false." % target, target, "990006")
    return value


def items(value, target):
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise refuse(400, "The value of %s must be a list of objects." % target, target, "990007")
    if len(value) > MAX_ITEMS:
        raise refuse(400, "%s has %d entries, at most %d are allowed." % (target, len(value), MAX_ITEMS), target,
                     "990008")
    return value


def item(value, target):
    return items([value], target)[0]


CHECKS = {
    "/status": lambda v, t: enumerated(v, STATUSES, t),
    "/substatus": lambda v, t: enumerated(v, SUBSTATUSES, t),
    "/details/dealValue": money, "/details/currency": currency, "/details/closingDateTime": moment,
    "/details/notes": text, "/statusReason": text, "/salesStage": text, "/externalReferenceId": text,
    "/campaignId": text, "/referralProgram": text, "/name": text,
    "/team": items, "/customerProfile/team": items, "/details/requirements/solutions": items,
    "/team/-": item, "/customerProfile/team/-": item, "/details/requirements/solutions/-": item, "/registrations/-": item,
    "/consent/consentToShareReferralWithMicrosoftSellers": flag,
}


def apply(document, operations, allow_name, allow_zero=False):
    """The document after a JSON Patch, all of it or none; the original stays as it is."""
    if not isinstance(operations, list) or not operations:
        raise refuse(400, "The request body must be a JSON Patch document with at least one operation.", "body", "990010")
    for operation in operations:
        if not isinstance(operation, dict) or operation.get("op") not in ("add", "replace"):
            raise refuse(400, "Only the operations add and replace are supported.", "op", "990011")
        path = operation.get("path")
        if not isinstance(path, str) or "value" not in operation:
            raise refuse(400, "Every operation needs a path and a value.", "path", "990012")
        if not PATHS.match(path) and not (allow_name and path == "/name"):
            raise refuse(400, "The property '%s' cannot be updated." % path, path, "990013")
        if path.endswith("/-") and operation["op"] == "replace":
            raise refuse(400, "The path '%s' does not exist and cannot be replaced." % path, path, "990014")
        check = CHECKS.get(path)
        value = check(operation["value"], path) if check else operation["value"]
        if path == "/details/dealValue" and not value and not allow_zero:
            raise refuse(400, "The value of %s must be greater than zero." % path, path, "990015")
        document = put_at(document, path[1:].split("/"), value, path)
    return document


def put_at(container, names, value, path):
    """A copy of the container with the value in place, sharing all it leaves alone."""
    name, rest = names[0], names[1:]
    if name in ("-", "0"):
        found = container if isinstance(container, list) else []
        if name == "-":
            if len(found) >= MAX_ITEMS:
                raise refuse(400, "'%s' would exceed %d entries." % (path, MAX_ITEMS), path, "990008")
            return [*found, value]
        if not found:
            raise refuse(400, "The path '%s' does not exist." % path, path, "990014")
        return [put_at(found[0], rest, value, path), *found[1:]]
    container = dict(container) if isinstance(container, dict) else {}
    if not rest:
        container[name] = value
        return container
    default = [] if rest[0] in ("-", "0") else {}
    container[name] = put_at(container.get(name) or default, rest, value, path)
    return container


def check_transition(before, after):
    """Raises unless the status machine allows the step from `before` to `after`."""
    old, new, substatus = before["status"], after["status"], after["substatus"]
    if new not in NEXT.get(old, STATUSES):
        raise refuse(400, "The status cannot change from %s to %s." % (old, new), "status", "990020")
    if substatus not in WITHIN.get(new, ()):
        raise refuse(400, "The substatus %s is not valid for the status %s." % (substatus, new), "substatus", "990021")
    if substatus == "Expired" and before["substatus"] != "Expired":
        raise refuse(400, "The substatus Expired is set by the service only.", "substatus", "990022")
    share = "consentToShareReferralWithMicrosoftSellers"
    if (before.get("consent") or {}).get(share) and not (after.get("consent") or {}).get(share):
        raise refuse(400, "Sharing with Microsoft cannot be taken back.", "consent/" + share, "990023")


def check_frozen(before, after):
    """What Microsoft has seen stays as it was seen: the customer's people do not change any more."""
    if not (before.get("consent") or {}).get("consentToShareReferralWithMicrosoftSellers"):
        return
    if (before["customerProfile"] or {}).get("team") != (after["customerProfile"] or {}).get("team"):
        raise refuse(400, "The property '/customerProfile/team' cannot be updated once the referral is shared.",
                     "/customerProfile/team", "990024")


def has_intent(details):
    further = (details.get("requirements") or {}).get("additionalRequirements") or {}
    return any(isinstance(a, dict) and a.get("type") == "CustomerMarketplaceIntent" and a.get("id")
               for a in further.get("attributes") or [])


def asks_microsoft(body):
    """Help is asked for and the deal shared: co-sell."""
    code = (body.get("inviteContext") or {}).get("assistanceRequestCode")
    return code not in (None, "Unknown") and bool(
        (body.get("consent") or {}).get("consentToShareReferralWithMicrosoftSellers"))


def check_create(body, portal, intent=False):
    if not isinstance(body, dict):
        raise refuse(400, "The request body must be a referral.", "body", "990030")
    for name in ("type", "customerProfile", "consent", "details"):
        if body.get(name) is None:
            raise refuse(400, "The member '%s' is required." % name, name, "990031")
        if name != "type" and not isinstance(body[name], dict):
            raise refuse(400, "The member '%s' must be an object." % name, name, "990032")
    enumerated(body["type"], TYPES, "type")
    if body.get("qualification") is not None:
        enumerated(body["qualification"], QUALIFICATIONS, "qualification")
    invite = body.get("inviteContext")
    if isinstance(invite, dict) and invite.get("assistanceRequestCode") is not None:
        enumerated(invite["assistanceRequestCode"], ASSISTANCE, "inviteContext/assistanceRequestCode")
    details = body["details"]
    for name, check in (("dealValue", money), ("currency", currency), ("closingDateTime", moment)):
        if details.get(name) is not None:
            check(details[name], "details/" + name)
    requirements = details.get("requirements") or {}
    items(requirements.get("solutions") or [], "details/requirements/solutions")
    items(body.get("team") or [], "team")
    if (portal or intent) and not has_intent(details):
        raise refuse(400, "The attribute CustomerMarketplaceIntent is required.",
                     "details/requirements/additionalRequirements/attributes", "990035")
    if portal:
        check_portal(body)


def check_portal(body):
    """What the portal and the bulk upload demand on top."""
    customer, details = body["customerProfile"], body["details"]
    address = customer.get("address") or {}
    wanted = [("name", body.get("name")), ("customerProfile/name", customer.get("name")),
              ("customerProfile/address/addressLine1", address.get("addressLine1")),
              ("customerProfile/address/city", address.get("city")),
              ("customerProfile/address/country", re.match(r"[A-Z]{2}\Z", address.get("country") or "")),
              ("details/dealValue", details.get("dealValue")), ("details/currency", details.get("currency")),
              ("details/closingDateTime", details.get("closingDateTime")), ("details/notes", details.get("notes")),
              ("details/requirements/solutions", (details.get("requirements") or {}).get("solutions")),
              ("team", body.get("team")), ("consent", body["consent"].get("consentToContact"))]
    for target, value in wanted:
        if not value:
            raise refuse(400, "%s is required." % target, target, "990033")
    check_people(body["team"], "team")
    if asks_microsoft(body):
        if not customer.get("team"):
            raise refuse(400, "A customer contact is required when help is requested.", "customerProfile/team", "990036")
        check_people(customer["team"], "customerProfile/team")


def check_people(members, target):
    for member in members:
        if not all(member.get(name) for name in ("firstName", "lastName", "phoneNumber", "email")):
            raise refuse(400, "A member of %s needs first name, last name, phone number and email." % target, target,
                         "990034")


def check_connected(first, document, known, again, consent):
    """The second half of a deal shared with Microsoft: `known` = Microsoft has its card already."""
    share = "consentToShareReferralWithMicrosoftSellers"
    if consent and not all((d.get("consent") or {}).get(share) for d in (first, document)):
        raise refuse(400, "The referral is not shared with Microsoft.", "consent/" + share, "990037")
    if known and again == "refuse":
        raise refuse(409, "Microsoft has a referral of this engagement already.", "engagementId", "990038")
