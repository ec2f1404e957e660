"""conf/mapping.schema.json says what the loader and later versions accept: the shipped profile and complete examples of the whole shape."""

import copy
import glob
import json
import os

import jsonschema
import pytest

REPO = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
FILES = sorted(glob.glob(REPO + "/conf/mapping/*.json") + glob.glob(REPO + "/tests/unit/mapping/*.json"))


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture(scope="module")
def validator():
    schema = read(REPO + "/conf/mapping.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=[os.path.basename(f) for f in FILES])
def test_good(validator, path):
    assert [(list(e.absolute_path), e.message) for e in validator.iter_errors(read(path))] == []


def test_there_are_files():
    assert len(FILES) >= 4


@pytest.mark.parametrize("pointer, value", [
    (["crm"], "sugar"),
    (["records", "opportunity", "lines", "name", "typ"], "text"),
    (["records", "opportunity", "lines", "name", "direction"], "up"),
    (["records", "opportunity", "lines", "name", "pc"], "name"),
    (["records", "opportunity", "lines", "close", "time"], "noon"),
    (["records", "opportunity", "state", "show", "Open"], {}),
    (["records", "opportunity", "state", "hear", 0, "do"], "sleep"),
    (["records", "opportunity", "from_pc", "when"], {"pc": "$kind"}),
    (["find", "account", "none"], "guess"),
    (["values", "lost", "else", "to_crm"], {}),
    (["names", "sync"], 5),
    (["records", "opportunity", "lines", "a/b"], {"pc": "/name", "crm": "a"}),
    (["records", "opportunity", "lines", "name", "latch"], "yes"),
    (["records", "opportunity", "lists"], {"team": {"pc": "/team", "key": "email", "crm": {"users": []}}}),
    (["records", "opportunity", "becomes"], {"record": "lead", "via": "x", "on_accept_in_pc": "win"}),
    (["extends"], "../dynamics365.json"),
])
def test_bad(validator, pointer, value):
    mapping = copy.deepcopy(read(REPO + "/conf/mapping/dynamics365.json"))
    at = mapping
    for name in pointer[:-1]:
        at = at[name]
    at[pointer[-1]] = value
    assert list(validator.iter_errors(mapping))


@pytest.mark.parametrize("pointer, value", [
    (["namespace"], "acme-1"),
    (["namespce"], "acme"),
    (["names", "sync"], ["a"]),
    (["records", "opportunity", "keey"], "@id"),
    (["find", "account", "key"], 5),
    (["find", "account", "kye"], "@account_key"),
    (["records", "opportunity", "lists", "solutions", "crm", "kye"], "@solution_key"),
    (["records", "opportunity", "lists", "team", "crm", "users", 1, "colunm"], "UserId"),
    (["records", "opportunity", "lines", "value", "crm", "currency"], {"const": "usd"}),
    (["records", "opportunity", "lines", "value", "crm", "currency"], {"cosnt": "USD"}),
    (["records", "opportunity", "lines", "customer", "crm"], "Account/Parent/Name"),
    (["records", "opportunity", "from_pc", "set", "RecordTypeId"], {"record_tpye": "Services"}),
    (["records", "opportunity", "state", "hear", 0, "crm", "StageName"], []),
])
def test_bad_salesforce(validator, pointer, value):
    mapping = copy.deepcopy(read(REPO + "/conf/mapping/salesforce.json"))
    at = mapping
    for name in pointer[:-1]:
        at = at[name]
    at[pointer[-1]] = value
    assert list(validator.iter_errors(mapping))


@pytest.mark.parametrize("pointer, value", [
    (["namespace"], "acme"),
    (["namespace"], None),
    (["records", "opportunity", "lines", "value", "crm", "currency"], {"const": "USD"}),
    (["records", "opportunity", "lines", "customer", "crm"], "{ns}Partner__r/{ns}Name__c"),
    (["records", "opportunity", "from_pc", "set", "RecordTypeId"], {"record_type": "Services"}),
    (["records", "opportunity", "state", "hear", 0, "crm", "StageName"], ["@hold", "Prospecting"]),
    (["records", "opportunity", "lists", "team", "crm", "users", 1, "key"], "@team_key"),
])
def test_good_salesforce(validator, pointer, value):
    mapping = copy.deepcopy(read(REPO + "/conf/mapping/salesforce.json"))
    at = mapping
    for name in pointer[:-1]:
        at = at[name]
    at[pointer[-1]] = value
    assert [(list(e.absolute_path), e.message) for e in validator.iter_errors(mapping)] == []


@pytest.mark.parametrize("pointer", [
    ["records", "lead"],
    ["records", "opportunity", "lists"],
    ["records", "opportunity", "lists", "team"],
    ["records", "opportunity", "lines", "value", "to_crm"],
    ["records", "opportunity", "tell", "audit", "max"],
    ["find", "account", "within"],
    ["values", "lost", "pairs", "ChoseAnotherVendor"],
])
def test_null_removes_in_an_overlay(validator, pointer):
    overlay = at = {"extends": "dynamics365.json", "revision": "mine"}
    for name in pointer[:-1]:
        at = at.setdefault(name, {})
    at[pointer[-1]] = None
    assert [(list(e.absolute_path), e.message) for e in validator.iter_errors(overlay)] == []


def test_the_shipped_overlay_changes_what_its_profile_has():
    overlay, profile = read(REPO + "/conf/mapping/example-overlay.json"), read(REPO + "/conf/mapping/dynamics365.json")
    assert overlay["extends"] == "dynamics365.json"
    assert set(overlay["names"]) - {"$comment"} <= set(profile["names"])
    assert "value" in profile["records"]["opportunity"]["lines"]


def test_the_overlay_for_salesforce_changes_what_its_profile_has():
    overlay, profile = read(REPO + "/conf/mapping/example-overlay-salesforce.json"), read(REPO + "/conf/mapping/salesforce.json")
    assert overlay["extends"] == "salesforce.json"
    assert set(overlay["names"]) - {"$comment"} <= set(profile["names"])
    for name in ("value", "notes", "ask"):
        assert name in profile["records"]["opportunity"]["lines"]
