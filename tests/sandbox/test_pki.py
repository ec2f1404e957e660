"""tests/sandbox/pki, looked at with the openssl command as an independent judge."""

import os
import subprocess
import time

import pytest

HERE = os.path.dirname(os.path.realpath(__file__))
PKI = os.path.join(HERE, "pki")
NAME = "pcnotifications-dispatch.microsoft.com"
ENDS = ("leaf", "renewed", "expired", "not-yet-valid", "wrong-issuer", "untrusted", "other-subject", "other-name",
        "3072", "4096", "small", "ec")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("pki")
    subprocess.run([PKI, str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


def openssl(directory, *args):
    return subprocess.run(["openssl", *args], cwd=directory, capture_output=True, text=True)


def verify(directory, name, *more):
    return openssl(directory, "verify", "-CAfile", "ca.pem", "-untrusted", "intermediates.pem", *more, name + ".pem")


def subject(directory, name, which="-subject"):
    out = openssl(directory, "x509", "-in", name + ".pem", "-noout", which, "-nameopt", "multiline,-esc_msb").stdout
    return dict((key.strip(), value.strip()) for key, _, value in (line.partition("=") for line in out.splitlines()))


@pytest.mark.parametrize("name", ["leaf", "renewed", "wrong-issuer", "other-subject", "other-name", "3072", "4096"])
def test_chains_to_the_trusted_root(directory, name):
    result = verify(directory, name, "-auth_level", "1")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name,reason", [
    ("expired", "certificate has expired"), ("not-yet-valid", "certificate is not yet valid"),
    ("untrusted", "unable to get local issuer certificate")])
def test_fails_for_exactly_its_reason(directory, name, reason):
    result = verify(directory, name)
    assert result.returncode != 0 and reason in result.stderr + result.stdout


def test_untrusted_chain_is_complete_but_for_its_root(directory):
    result = openssl(directory, "verify", "-CAfile", "untrusted-root.pem", "-untrusted", "untrusted-issuing.pem",
                     "untrusted.pem")
    assert result.returncode == 0, result.stderr
    assert subject(directory, "untrusted", "-issuer") == subject(directory, "leaf", "-issuer")


@pytest.mark.parametrize("name,issuer_o,subject_o,common_name", [
    ("leaf", "Microsoft Corporation", "Microsoft Corporation", NAME),
    ("renewed", "Microsoft Corporation", "Microsoft Corporation", NAME),
    ("expired", "Microsoft Corporation", "Microsoft Corporation", NAME),
    ("wrong-issuer", "Contoso Ltd", "Microsoft Corporation", NAME),
    ("other-subject", "Microsoft Corporation", "Fabrikam Inc", "hooks.fabrikam.example"),
    ("other-name", "Microsoft Corporation", "Microsoft Corporation", "another-service.microsoft.com")])
def test_names(directory, name, issuer_o, subject_o, common_name):
    assert subject(directory, name, "-issuer")["organizationName"] == issuer_o
    found = subject(directory, name)
    assert (found["organizationName"], found["commonName"]) == (subject_o, common_name)


@pytest.mark.parametrize("name,bits", [("leaf", 2048), ("3072", 3072), ("4096", 4096), ("small", 1024), ("ec", 256)])
def test_key_sizes(directory, name, bits):
    text = openssl(directory, "x509", "-in", name + ".pem", "-noout", "-text").stdout
    assert "Public-Key: (%d bit)" % bits in text
    assert ("id-ecPublicKey" if name == "ec" else "rsaEncryption") in text


def test_keys_belong_to_their_certificates(directory):
    def public(name):
        return openssl(directory, "pkey", "-in", name + ".key", "-pubout").stdout
    for name in ENDS:
        assert openssl(directory, "x509", "-in", name + ".pem", "-noout", "-pubkey").stdout == public(name)
        assert (directory / (name + ".key")).stat().st_mode & 0o077 == 0
    assert len({public(name) for name in (*ENDS, "wrong")}) == len(ENDS) + 1


def test_der_is_the_same_certificate(directory):
    for name in ENDS:
        pem = openssl(directory, "x509", "-inform", "DER", "-in", name + ".der").stdout
        assert pem.strip() in (directory / (name + ".pem")).read_text()


def test_revocation_lists(directory):
    good = verify(directory, "leaf", "-crl_check_all", "-CRLfile", "crl-good.pem")
    assert good.returncode == 0, good.stderr
    revoked = verify(directory, "leaf", "-crl_check_all", "-CRLfile", "crl-revoked.pem")
    assert revoked.returncode != 0 and "certificate revoked" in revoked.stderr + revoked.stdout
    other = verify(directory, "renewed", "-crl_check_all", "-CRLfile", "crl-revoked.pem")
    assert other.returncode == 0, other.stderr


def test_server_certificate_is_for_loopback(directory):
    for option, name in (("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1"), ("-verify_hostname", "localhost")):
        result = openssl(directory, "verify", "-CAfile", "server-ca.pem", "-purpose", "sslserver", option, name,
                         "server.pem")
        assert result.returncode == 0, result.stderr
    wrong = openssl(directory, "verify", "-CAfile", "server-ca.pem", "-verify_ip", "127.0.0.2", "server.pem")
    assert wrong.returncode != 0


def test_second_run_changes_nothing_and_is_quick(directory):
    before = {file.name: file.read_bytes() for file in directory.iterdir()}
    started = time.monotonic()
    subprocess.run([PKI, str(directory)], check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - started < 2
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == before


def test_a_damaged_directory_is_made_again(directory):
    old = (directory / "leaf.pem").read_bytes()
    (directory / "leaf.key").unlink()
    subprocess.run([PKI, str(directory)], check=True, stdout=subprocess.DEVNULL)
    assert (directory / "leaf.key").exists() and (directory / "leaf.pem").read_bytes() != old
    assert verify(directory, "leaf").returncode == 0


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    result = subprocess.run([PKI, str(tmp_path / "file" / "pki")], capture_output=True, text=True)
    assert result.returncode != 0 and str(tmp_path / "file" / "pki") in result.stderr and "Trace" not in result.stderr
