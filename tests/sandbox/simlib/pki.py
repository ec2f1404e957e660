"""The certificates of the sandbox: made once per directory, again when a file is missing or they grow old."""

import datetime
import fcntl
import ipaddress
import json
import os
from concurrent.futures import ThreadPoolExecutor

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VERSION = 3
MAX_AGE_DAYS = 90
NAME = "pcnotifications-dispatch.microsoft.com"
MICROSOFT = "Microsoft Corporation"

# leaf: (issuer, key, subject O, subject CN, valid from, valid to) with the times in days from now
LEAVES = {
    "leaf": ("issuing", 2048, MICROSOFT, NAME, -30, 397),
    "renewed": ("issuing", 2048, MICROSOFT, NAME, -1, 397),
    "expired": ("issuing", 2048, MICROSOFT, NAME, -398, -1),
    "not-yet-valid": ("issuing", 2048, MICROSOFT, NAME, 300, 697),
    "wrong-issuer": ("wrong-issuer-ca", 2048, MICROSOFT, NAME, -30, 397),
    "untrusted": ("untrusted-issuing", 2048, MICROSOFT, NAME, -30, 397),
    "other-subject": ("issuing", 2048, "Fabrikam Inc", "hooks.fabrikam.example", -30, 397),
    "other-name": ("issuing", 2048, MICROSOFT, "another-service.microsoft.com", -30, 397),
    "3072": ("issuing", 3072, MICROSOFT, NAME, -30, 397),
    "4096": ("issuing", 4096, MICROSOFT, NAME, -30, 397),
    "small": ("issuing", 1024, MICROSOFT, NAME, -30, 397),
    "ec": ("issuing", "ec", MICROSOFT, NAME, -30, 397),
}

AUTHORITIES = {
    "root": (None, "Sandbox Trust Services", "Sandbox Global Root G2"),
    "issuing": ("root", MICROSOFT, "Sandbox RSA TLS Issuing CA 04"),
    "wrong-issuer-ca": ("root", "Contoso Ltd", "Contoso Issuing CA 1"),
    "untrusted-root": (None, "Sandbox Trust Services", "Another Global Root"),
    "untrusted-issuing": ("untrusted-root", MICROSOFT, "Sandbox RSA TLS Issuing CA 04"),
    "server-ca": (None, "Sandbox", "Sandbox loopback CA"),
}

DESCRIPTION = """Makes the public key infrastructure of the sandbox in DIR; quick when it is there already.

ca.pem               root that is trusted                    intermediates.pem  issuing CA (O=Microsoft Corporation)
                                                             and the CA with another O, both under that root
NAME.pem .der .key   end certificates with their keys:
  leaf               CN=pcnotifications-dispatch.microsoft.com, O=Microsoft Corporation, RSA 2048
  renewed            the same name with a new key            3072, 4096         larger keys
  expired            until yesterday                         not-yet-valid      from in 300 days
  wrong-issuer       by a CA with O=Contoso Ltd              other-subject      O=Fabrikam Inc, another CN
  other-name         O=Microsoft Corporation, another CN     small, ec          RSA 1024, P-256
  untrusted          by a CA of the right name under a root that is not in ca.pem (untrusted-root.pem,
                     untrusted-issuing.pem)
wrong.key            RSA 2048 that no certificate belongs to
crl-good.pem         CRLs of issuing CA and root that leave leaf valid; crl-revoked.pem: that revoke it
server.pem .key      for --tls on 127.0.0.1, ::1, localhost (server.pem holds the chain); server-ca.pem trusts it
"""


def ensure(directory):
    """Makes what is missing; safe with several processes at once. Returns whether anything was made."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete(directory):
            return False
        _write_all(directory, _make())
        return True


def complete(directory):
    try:
        with open(os.path.join(directory, "manifest.json")) as file:
            manifest = json.load(file)
        age = datetime.datetime.utcnow() - datetime.datetime.fromisoformat(manifest["created"])
        return (manifest["version"] == VERSION and datetime.timedelta() <= age < datetime.timedelta(days=MAX_AGE_DAYS)
                and all(os.path.getsize(os.path.join(directory, name)) == size
                        for name, size in manifest["files"].items()))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_all(directory, files):
    created = datetime.datetime.utcnow().isoformat()
    manifest = {"version": VERSION, "created": created, "files": {name: len(data) for name, data in files.items()}}
    files = dict(files)
    files["manifest.json"] = json.dumps(manifest, indent=1).encode()
    for name, data in files.items():
        path = os.path.join(directory, name)
        mode = 0o600 if name.endswith(".key") else 0o644
        with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
        os.rename(path + ".new", path)


def _make():
    now = datetime.datetime.utcnow().replace(microsecond=0)
    keys = _keys()
    certificates = {}
    for name, (issuer, organization, common_name) in AUTHORITIES.items():
        certificates[name] = _authority(name, issuer, organization, common_name, keys, certificates, now)
    for name, spec in LEAVES.items():
        certificates[name] = _leaf(name, spec, keys, certificates, now)
    certificates["server"] = _server(keys, certificates, now)
    files = {}
    for name in LEAVES:
        files[name + ".pem"] = _pem(certificates[name])
        files[name + ".der"] = certificates[name].public_bytes(serialization.Encoding.DER)
        files[name + ".key"] = _key_pem(keys[name])
    files["wrong.key"] = _key_pem(keys["wrong"])
    files["ca.pem"] = _pem(certificates["root"])
    files["intermediates.pem"] = _pem(certificates["issuing"]) + _pem(certificates["wrong-issuer-ca"])
    files["untrusted-root.pem"] = _pem(certificates["untrusted-root"])
    files["untrusted-issuing.pem"] = _pem(certificates["untrusted-issuing"])
    files["server.pem"] = _pem(certificates["server"]) + _pem(certificates["server-ca"])
    files["server.key"] = _key_pem(keys["server"])
    files["server-ca.pem"] = _pem(certificates["server-ca"])
    for name, revoked in (("crl-good.pem", []), ("crl-revoked.pem", [certificates["leaf"].serial_number])):
        files[name] = (_crl("issuing", revoked, keys, certificates, now) + _crl("root", [], keys, certificates, now)
                       + _crl("wrong-issuer-ca", [], keys, certificates, now))
    return files


def _keys():
    sizes = {name: spec[1] for name, spec in LEAVES.items()}
    sizes.update({name: 2048 for name in (*AUTHORITIES, "server", "wrong")})
    order = sorted(sizes, key=lambda name: -sizes[name] if sizes[name] != "ec" else 0)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(order, pool.map(lambda name: _key(sizes[name]), order)))


def _key(size):
    if size == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def _name(organization, common_name, place=False):
    parts = [(NameOID.COUNTRY_NAME, "US")]
    if place:
        parts += [(NameOID.STATE_OR_PROVINCE_NAME, "WA"), (NameOID.LOCALITY_NAME, "Redmond")]
    parts += [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common_name)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _builder(subject, issuer, key, issuer_key, valid, now):
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=valid[0]))
            .not_valid_after(now + datetime.timedelta(days=valid[1]))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False))


def _usage(sign, certificates):
    return x509.KeyUsage(sign, False, sign and not certificates, False, False, certificates, certificates, False, False)


def _authority(name, issuer, organization, common_name, keys, certificates, now):
    subject = _name(organization, common_name)
    issuer_name = certificates[issuer].subject if issuer else subject
    issuer_key = keys[issuer or name]
    builder = _builder(subject, issuer_name, keys[name], issuer_key, (-1000, 3650), now)
    return (builder.add_extension(x509.BasicConstraints(True, 0 if issuer else 1), True)
            .add_extension(_usage(True, True), True).sign(issuer_key, hashes.SHA256()))


def _leaf(name, spec, keys, certificates, now):
    issuer, _, organization, common_name, start, end = spec
    subject = _name(organization, common_name, place=True)
    builder = _builder(subject, certificates[issuer].subject, keys[name], keys[issuer], (start, end), now)
    return _end(builder, [x509.DNSName(common_name)]).sign(keys[issuer], hashes.SHA256())


def _server(keys, certificates, now):
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
             x509.IPAddress(ipaddress.ip_address("::1"))]
    builder = _builder(_name("Sandbox", "localhost"), certificates["server-ca"].subject, keys["server"],
                       keys["server-ca"], (-30, 800), now)
    return _end(builder, names).sign(keys["server-ca"], hashes.SHA256())


def _end(builder, names):
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (builder.add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(_usage(True, False), True)
            .add_extension(x509.ExtendedKeyUsage(usages), False)
            .add_extension(x509.SubjectAlternativeName(names), False))


def _crl(authority, serials, keys, certificates, now):
    builder = (x509.CertificateRevocationListBuilder().issuer_name(certificates[authority].subject)
               .last_update(now - datetime.timedelta(days=30)).next_update(now + datetime.timedelta(days=800))
               .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[authority].public_key()), False)
               .add_extension(x509.CRLNumber(1 + len(serials)), False))
    for serial in (x509.random_serial_number(), *serials):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial)
            .revocation_date(now - datetime.timedelta(days=2)).build())
    return _pem(builder.sign(keys[authority], hashes.SHA256()))


def _pem(thing):
    return thing.public_bytes(serialization.Encoding.PEM)


def _key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())
