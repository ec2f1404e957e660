"""Error answers of the two APIs and of the gateway before them."""

from simlib import HttpError, Reply

CODES = {400: "invalidRequest", 401: "unauthenticated", 403: "accessDenied", 404: "itemNotFound", 405: "invalidRequest",
         409: "resourceModified", 412: "preconditionFailed", 415: "invalidRequest", 500: "generalException",
         503: "serviceNotAvailable"}

PRECONDITION = {"error": {
    "code": "preconditionFailed",
    "message": "A precondition provided in the request (such as an if-match header) does not match the resource's "
               "current state.",
    "target": "ETag",
    "innerError": {"code": "99918", "message": "One of the specified pre-condition is not met. Etag value did not Match",
                   "details": None}}}


def referral_body(status, message, code=None, target=None, inner=None):
    error = {"code": code or CODES.get(status, "generalException"), "message": message[:1024]}
    if target is not None:
        error["target"] = target
    if inner is not None:
        error["innerError"] = {"code": inner, "message": message[:1024], "details": None}
    return {"error": error}


def refuse(status, message, target=None, inner="990000", code=None):
    """An HttpError of the Referrals API. Inner codes from 990000 on are invented: Microsoft publishes none."""
    return HttpError(Reply.json(status, referral_body(status, message, code, target, inner)))


def webhook_body(status, description, code=None):
    return {"code": code or str(status * 10), "description": description[:1024], "data": [],
            "source": "PartnerCenterWebhooks"}


def refuse_webhook(status, description, code=None, headers=None):
    return HttpError(Reply.json(status, webhook_body(status, description, code), headers))


def throttled(seconds):
    message = "Rate limit is exceeded. Try again in %d seconds." % seconds
    return Reply.json(429, {"statusCode": 429, "message": message}, {"Retry-After": str(seconds)})
