"""Callbacks as Partner Center sends them, signed here with the sandbox's keys."""

import base64
import datetime
import json
import os
import subprocess
import uuid

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from .paths import BUILD, PYTHON, SANDBOX

RESOURCE = "https://api.partnercenter.microsoft.com/engagements/v1/referrals/"


def timestamp(when=None):
    """Seconds since the epoch as the seven-digit form of the callbacks."""
    moment = datetime.datetime.now(datetime.timezone.utc) if when is None else \
        datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "7+00:00"


class Pki:
    """build/pki, made once by tests/sandbox/pki."""

    def __init__(self, directory=None):
        self.directory = directory or os.path.join(BUILD, "pki")
        subprocess.run([PYTHON, os.path.join(SANDBOX, "pki"), self.directory], check=True, stdout=subprocess.DEVNULL)
        self._keys = {}

    def path(self, name):
        return os.path.join(self.directory, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def key(self, name):
        if name not in self._keys:
            self._keys[name] = serialization.load_pem_private_key(self.read(name + ".key"), None)
        return self._keys[name]

    def sign(self, body, key="leaf"):
        return base64.b64encode(self.key(key).sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()


class Event:
    """One callback: `body` bytes; headers(pki, url) signs it."""

    def __init__(self, name="referral-updated", referral=None, changed=None, body=None, uri=None, **members):
        if body is None:
            document = {"EventName": name, "ResourceUri": uri if uri is not None else RESOURCE + str(referral or uuid.uuid4()),
                        "ResourceName": "referral",
                        "AuditUri": "https://api.partnercenter.microsoft.com/auditactivity/v1/auditrecords/%s" % uuid.uuid4(),
                        "ResourceChangeUtcDate": changed if isinstance(changed, str) else timestamp(changed)}
            document.update(members)
            body = json.dumps({k: v for k, v in document.items() if v is not ...}, separators=(",", ":"),
                              ensure_ascii=False).encode()
        self.body = body

    def headers(self, pki, cert_url, key="leaf", header="x-ms-signature", scheme="Signature "):
        return {"Content-Type": "application/json", header: scheme + pki.sign(self.body, key), "X-MS-Certificate-Url": cert_url,
                "X-MS-Signature-Algorithm": "rsa-sha256"}
