/* Random mappings: lines of every type, all shapes of lists, whatever the format allows beside them. Made as JSON and loaded by the real loader; what that
 * refuses is a mistake here.
 */
#ifndef CS_TESTS_PROPERTY_MAPPINGS_H
#define CS_TESTS_PROPERTY_MAPPINGS_H

#include <string.h>

#include "chance.h"
#include "mod_cosell/base/json.h"

typedef enum { SLOT_TEXT, SLOT_MONEY, SLOT_DATE, SLOT_FLAG, SLOT_CHOICE, SLOT_LABEL, SLOT_LOOKUP, SLOT_ACCOUNT, SLOT_COUNTRY, SLOT_CONST } slot_type_e;

/* A line that a mapping may have, and what stands at its ends. */
typedef struct slot_t {
    const char *line;
    slot_type_e type;
    const char *pc, *pc2;   /* paths; money: amount and currency */
    const char *col, *col2; /* columns */
    int ways;               /* 3 both, 1 to_crm only, 2 a latch towards Partner Center */
} slot_t;

static const slot_t slots[] = {
    {"notes", SLOT_TEXT, "/details/notes", NULL, "c_notes", NULL, 3},
    {"prog", SLOT_TEXT, "/referralProgram", NULL, "c_prog", NULL, 3},
    {"name", SLOT_TEXT, "/name", NULL, "name", NULL, 1},
    {"quality", SLOT_TEXT, "/quality", NULL, "c_quality", NULL, 1},
    {"ms", SLOT_TEXT, "microsoft:/substatus", NULL, "c_ms", NULL, 1},
    {"first", SLOT_TEXT, "/customerProfile/team[first]/email", NULL, "c_first", NULL, 1},
    {"value", SLOT_MONEY, "/details/dealValue", "/details/currency", "c_amount", "transactioncurrencyid", 3},
    {"contract", SLOT_MONEY, "/registrations[first]/contract/value", "/registrations[first]/contract/currency", "c_contract", "c_ccurid", 1},
    {"close", SLOT_DATE, "/details/closingDateTime", NULL, "c_close", NULL, 3},
    {"expires", SLOT_DATE, "/expirationDateTime", NULL, "c_expires", NULL, 1},
    {"visible", SLOT_FLAG, "/consent/consentToShareReferralWithMicrosoftSellers", NULL, "c_visible", NULL, 2},
    {"auto", SLOT_FLAG, "/isAutoRegistrationEnabled", NULL, "c_auto", NULL, 1},
    {"stage", SLOT_CHOICE, "/salesStage", NULL, "c_stage", NULL, 3},
    {"camp", SLOT_LABEL, "/campaignId", NULL, "c_camp", NULL, 3},
    {"help", SLOT_LABEL, "invite:/inviteContext/assistanceRequestCode", NULL, "c_help", NULL, 2},
    {"place", SLOT_LOOKUP, "/externalReferenceId", NULL, "c_placeid", NULL, 3},
    {"account", SLOT_ACCOUNT, NULL, NULL, "account__c", NULL, 1},
    {"country", SLOT_COUNTRY, "/customerProfile/address/country", NULL, "c_country", NULL, 1},
    {"source", SLOT_CONST, NULL, NULL, "c_source", NULL, 1},
};
#define SLOTS (sizeof(slots) / sizeof(slots[0]))

/* What a CRM of a type calls things, and how its records live. */
typedef struct crm_t {
    const char *type, *table, *key, *owner;
    const char *state; /* column: 0 open, 1 won, 2 lost */
    const char *stage; /* column that says more, or that it follows from */
    const char *states; /* "state" of the record kind, as JSON */
    int names_rows;    /* gives ids, takes writes of closed records, keeps no blank text, and its versions have a grain */
} crm_t;

static const char mapping_frame[] =
    "{\"revision\":\"1\",\"names\":{\"sync\":\"msft_sync\",\"id\":\"msft_id\"},"
    "\"values\":{"
    "\"stages\":{\"pairs\":{\"One\":1,\"Two\":2,\"Three\":3},\"empty\":[\"None\"]},"
    "\"camps\":{\"match_by\":\"label\",\"pairs\":{\"Spring\":\"Spring sale\",\"Autumn\":\"Autumn sale\",\"Odd\":\"Nobody has this\"},\"empty\":[\"Unknown\"]},"
    "\"lost\":{\"pairs\":{\"ChoseAnotherVendor\":5},\"else\":{\"to_crm\":4,\"to_pc\":\"Others\"}},"
    "\"reasons\":{\"pairs\":{\"ChoseAnotherVendor\":\"Competition\"},\"else\":{\"to_crm\":\"Other\",\"to_pc\":\"Others\"}}},"
    "\"find\":{"
    "\"currency\":{\"table\":\"transactioncurrency\",\"by\":[{\"isocurrencycode\":\".\"}],\"none\":\"hold\"},"
    "\"place\":{\"table\":\"place\",\"by\":[{\"tname\":\".\"}],\"none\":\"hold\"},"
    "\"account\":{\"table\":\"account\",\"by\":[{\"accountnumber\":\"/customerProfile/ids[profileType=External]/id\"},"
    "{\"name\":\"/customerProfile/name\",\"zip\":\"/customerProfile/address/postalCode\"}],\"none\":\"create\","
    "\"create\":{\"name\":\"/customerProfile/name\",\"zip\":\"/customerProfile/address/postalCode\"}},"
    "\"solution\":{\"table\":\"solutiondetail\",\"by\":[{\"sid\":\"id\"}],\"none\":\"create\",\"create\":{\"sid\":\"id\",\"sname\":\"name\"}},"
    "\"contact\":{\"table\":\"contact\",\"by\":[{\"email1\":\"email\"}],\"within\":{\"parentcustomerid\":\"account\"},\"none\":\"create\","
    "\"create\":{\"email1\":\"email\",\"firstname\":\"firstName\",\"parentcustomerid\":\"$account\"}},"
    "\"user\":{\"table\":\"systemuser\",\"by\":[{\"mail\":\"email\"}],\"none\":\"skip\"}},"
    "\"records\":{\"opportunity\":{\"key\":\"@id\","
    "\"from_pc\":{\"when\":{\"pc\":\"$kind\",\"in\":[\"co-sell\",\"partner-led\",\"private\",\"p2p\"]},\"set\":{\"@sync\":true}},"
    "\"from_crm\":{\"when\":{\"crm\":\"@sync\",\"is\":true},\"opt_out\":\"pause\"},"
    "\"lines\":{},\"lists\":{},\"tell\":{}}}}";

static const char states_by_action[] =
    "{\"hear\":["
    "{\"pc\":\"New\",\"crm\":{\"statecode\":0,\"statuscode\":2},\"do\":\"wait\"},"
    "{\"pc\":\"New\",\"crm\":{\"statecode\":0},\"do\":\"accept\"},"
    "{\"pc\":\"New\",\"crm\":{\"statecode\":1},\"do\":[\"accept\",\"win\"]},"
    "{\"pc\":\"New\",\"crm\":{\"statecode\":2},\"do\":\"decline\",\"reason\":{\"crm\":\"statuscode\",\"values\":\"lost\"}},"
    "{\"pc\":\"Active\",\"crm\":{\"statecode\":0},\"do\":\"stay\"},"
    "{\"pc\":\"Active\",\"crm\":{\"statecode\":1},\"do\":\"win\"},"
    "{\"pc\":\"Active\",\"crm\":{\"statecode\":2},\"do\":\"lose\",\"reason\":{\"crm\":\"statuscode\",\"values\":\"lost\"}},"
    "{\"pc\":\"Closed\",\"crm\":{\"statecode\":0},\"do\":\"refuse\",\"say\":\"reopened here\"}],"
    "\"show\":{\"New\":{\"set\":{\"statuscode\":2}},\"Active\":{\"set\":{\"statecode\":0,\"statuscode\":1}},"
    "\"Closed/Won\":{\"call\":\"WinOpportunity\",\"set\":{\"Status\":3,\"actualrevenue\":\"/details/dealValue\"}},"
    "\"Closed/Lost\":{\"call\":\"LoseOpportunity\",\"set\":{\"Status\":{\"pc\":\"/statusReason\",\"values\":\"lost\"}}},"
    "\"Closed/Declined\":{\"call\":\"LoseOpportunity\",\"set\":{\"Status\":4}},"
    "\"Closed/Expired\":{\"if_was\":\"New\",\"call\":\"LoseOpportunity\",\"set\":{\"Status\":4}},"
    "\"Closed/Error\":{\"unlink\":true}}}";

#define STAGE_WAITS "Partner Center - not accepted"
static const char states_by_stage[] =
    "{\"hear\":["
    "{\"pc\":\"New\",\"crm\":{\"StageName\":\"" STAGE_WAITS "\"},\"do\":\"wait\"},"
    "{\"pc\":\"New\",\"crm\":{\"IsClosed\":false},\"do\":\"accept\"},"
    "{\"pc\":\"New\",\"crm\":{\"IsWon\":true},\"do\":[\"accept\",\"win\"]},"
    "{\"pc\":\"New\",\"crm\":{\"IsClosed\":true},\"do\":\"decline\",\"reason\":{\"crm\":\"Loss__c\",\"values\":\"reasons\"}},"
    "{\"pc\":\"Active\",\"crm\":{\"StageName\":\"" STAGE_WAITS "\"},\"do\":\"refuse\",\"say\":\"hold is for unanswered referrals\"},"
    "{\"pc\":\"Active\",\"crm\":{\"StageName\":[\"Prospecting\",\"Qualification\"]},\"do\":\"stay\"},"
    "{\"pc\":\"Active\",\"crm\":{\"IsClosed\":false},\"do\":\"stay\"},"
    "{\"pc\":\"Active\",\"crm\":{\"IsWon\":true},\"do\":\"win\"},"
    "{\"pc\":\"Active\",\"crm\":{\"IsClosed\":true},\"do\":\"lose\",\"reason\":{\"crm\":\"Loss__c\",\"values\":\"reasons\"}},"
    "{\"pc\":\"Closed\",\"crm\":{\"IsClosed\":false},\"do\":\"refuse\",\"say\":\"reopened here\"}],"
    "\"show\":{\"New\":{\"set\":{\"StageName\":\"" STAGE_WAITS "\"}},\"Active\":{\"set\":{\"StageName\":\"Qualification\"}},"
    "\"Closed/Won\":{\"set\":{\"StageName\":\"Closed Won\"}},"
    "\"Closed/Lost\":{\"set\":{\"StageName\":\"Closed Lost\",\"Loss__c\":{\"pc\":\"/statusReason\",\"values\":\"reasons\"}}},"
    "\"Closed/Declined\":{\"set\":{\"StageName\":\"Closed Lost\",\"Loss__c\":\"Other\"}},"
    "\"Closed/Expired\":{\"if_was\":\"New\",\"set\":{\"StageName\":\"Closed Lost\",\"Loss__c\":\"Other\"}},"
    "\"Closed/Error\":{\"unlink\":true}}}";

static const crm_t crms[] = {
    {"dynamics365", "opportunity", "opportunityid", "ownerid", "statecode", "statuscode", states_by_action, 0},
    {"salesforce", "Opportunity", "Id", "OwnerId", "$state", "StageName", states_by_stage, 1},
};

/* Stages of an organisation of the second kind, and the states behind them. */
static const struct {
    const char *name;
    int state;
} stages[] = {{STAGE_WAITS, 0}, {"Prospecting", 0}, {"Qualification", 0}, {"Proposal", 0}, {"Closed Won", 1}, {"Won by Partner", 1}, {"Closed Lost", 2}, {"Dead", 2}};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

static inline json_t *mapping_kind_json(json_t *root)
{
    return json_object_get(json_object_get(root, "records"), "opportunity");
}

static inline json_t *gen_condition(dice_t *d)
{
    static const char *const conditions[] = {
        "{\"pc\":\"/status\",\"is\":\"Active\"}",
        "{\"crm\":\"c_gate\",\"is\":true}",
        "{\"not\":{\"crm\":\"c_gate\",\"is\":true}}",
        "{\"pc\":\"$kind\",\"in\":[\"co-sell\",\"partner-led\"]}",
        "{\"any\":[{\"crm\":\"c_gate\",\"is\":true},{\"pc\":\"/details/notes\",\"set\":true}]}",
        "{\"crm\":\"account__c\",\"set\":true}",
        "{\"all\":[{\"pc\":\"/status\",\"in\":[\"New\",\"Active\"]},{\"not\":{\"crm\":\"c_stage\",\"is\":3}}]}",
    };

    return json_loads(PICK(d, conditions), 0, NULL);
}

static inline json_t *gen_events(dice_t *d)
{
    return json_pack("[s]", roll(d, 2) ? "update" : "create");
}

static inline void put_text(json_t *line, const char *name, const char *value)
{
    json_object_set_new(line, name, json_string(value));
}

/* What one direction may say otherwise. */
static inline json_t *gen_way(dice_t *d, const slot_t *slot, int to_crm)
{
    json_t *way = json_object();

    if (roll(d, 6) == 0) {
        json_object_set_new(way, "events", gen_events(d));
    }
    if (roll(d, 6) == 0) {
        json_object_set_new(way, "when", gen_condition(d));
    }
    if (roll(d, 6) == 0) {
        json_object_set_new(way, "only_if_empty", json_true());
    }
    if (roll(d, 8) == 0) {
        json_object_set_new(way, "required", json_true());
    }
    if (slot->type == SLOT_TEXT && roll(d, 4) == 0) {
        json_object_set_new(way, "max", json_integer(3 + (int)roll(d, 12)));
    }
    if (slot->type == SLOT_TEXT && roll(d, 3) == 0) {
        put_text(way, "cut", roll(d, 2) ? "protect" : "plain");
    }
    if (slot->type == SLOT_TEXT && roll(d, 8) == 0) {
        put_text(way, "default", "Dflt");
    }
    if (slot->type == SLOT_CHOICE && to_crm && roll(d, 8) == 0) {
        json_object_set_new(way, "default", json_integer(3));
    }
    if (slot->type == SLOT_TEXT && !to_crm && roll(d, 8) == 0) {
        put_text(way, "const", "Fixed");
        json_object_set_new(way, "events", json_pack("[s]", "create"));
    }
    return way;
}

static inline void gen_ends(dice_t *d, const crm_t *crm, const slot_t *slot, json_t *line, const char *direction)
{
    static const char *const zones[] = {"UTC", "+02:00", "-05:30", "+14:00"};
    static const char *const firsts[] = {"[\"c_notes\",\"c_notes2\"]", "[\"c_notes2\",\"account__c/name\"]"};

    switch (slot->type) {
    case SLOT_MONEY:
        json_object_set_new(line, "pc", json_pack("{s:s,s:s}", "amount", slot->pc, "currency", slot->pc2));
        json_object_set_new(line, "crm", json_pack("{s:s,s:s}", "amount", slot->col, "currency", slot->col2));
        if (!crm->names_rows) {
            put_text(line, "find", "currency");
        }
        if (roll(d, 3) == 0) {
            put_text(line, "zero", roll(d, 2) ? "send" : "hold");
        }
        return;
    case SLOT_ACCOUNT:
        put_text(line, "find", "account");
        break;
    case SLOT_LOOKUP:
        put_text(line, "find", "place");
        break;
    case SLOT_CHOICE:
        put_text(line, "values", "stages");
        break;
    case SLOT_LABEL:
        put_text(line, "values", "camps");
        break;
    case SLOT_DATE:
        put_text(line, "type", "date");
        put_text(line, "zone", PICK(d, zones));
        if (roll(d, 3) == 0) {
            put_text(line, "time", "09:30");
        }
        break;
    case SLOT_FLAG:
        put_text(line, "type", "flag");
        break;
    case SLOT_COUNTRY:
        put_text(line, "type", "country");
        break;
    case SLOT_CONST:
        json_object_set_new(line, "const", json_integer(8));
        break;
    default:
        break;
    }
    if (slot->pc) {
        put_text(line, "pc", slot->pc);
    }
    if (direction && !strcmp(direction, "to_pc") && slot->type == SLOT_TEXT && roll(d, 3)) {
        json_object_set_new(line, "crm", roll(d, 3) ? json_loads(PICK(d, firsts), 0, NULL) : json_string("account__c/name"));
    }
    else {
        put_text(line, "crm", slot->col);
    }
}

static inline void gen_rules(dice_t *d, const slot_t *slot, json_t *line, const char *direction)
{
    static const char *const policies[] = {"hold", "partner-center", "crm"};
    static const char *const introduces[] = {"keep", "fill-empty", "partner-center", "crm"};
    int to_crm = !direction || strcmp(direction, "to_pc"), to_pc = !direction || strcmp(direction, "to_crm");
    const char *introduce = PICK(d, introduces);

    if (!direction && roll(d, 2)) {
        put_text(line, "conflict", PICK(d, policies));
    }
    if (roll(d, 2) && (strcmp(introduce, "crm") || to_pc) && (strcmp(introduce, "partner-center") || to_crm)) {
        put_text(line, "introduce", introduce);
    }
    if (direction && roll(d, 4) == 0) {
        json_object_set_new(line, "enforce", json_true());
    }
    if (roll(d, 6) == 0) {
        json_object_set_new(line, "when", gen_condition(d));
    }
    if (direction && slot->type == SLOT_TEXT && roll(d, 5) == 0) {
        put_text(line, "default", "Nothing");
    }
    if (roll(d, 8) == 0 && direction && strcmp(slot->line, "name")) {
        json_object_set_new(line, "events", gen_events(d));
    }
    if (roll(d, 12) == 0) {
        json_object_set_new(line, "only_if_empty", json_true());
    }
    if (slot->type == SLOT_TEXT && roll(d, 3) == 0) {
        json_object_set_new(line, "max", json_integer(3 + (int)roll(d, 12)));
        if (roll(d, 2)) {
            put_text(line, "cut", roll(d, 2) ? "protect" : "plain");
        }
    }
    if ((slot->type == SLOT_FLAG || slot->type == SLOT_CHOICE || slot->type == SLOT_LABEL) && roll(d, 3) == 0) {
        json_object_set_new(line, "latch", json_true());
    }
    if (roll(d, 8) == 0) {
        json_object_set_new(line, "required", json_true());
    }
}

static inline json_t *gen_line(dice_t *d, const crm_t *crm, const slot_t *slot)
{
    static const char *const directions[] = {NULL, NULL, "to_crm", "to_pc"};
    const char *direction = slot->ways == 3 ? PICK(d, directions) : slot->ways == 2 && roll(d, 2) ? NULL : "to_crm";
    json_t *line = json_object(), *way;

    if (direction) {
        put_text(line, "direction", direction);
    }
    gen_ends(d, crm, slot, line, direction);
    gen_rules(d, slot, line, direction);
    if (slot->ways == 2 && !direction) {
        json_object_set_new(line, "latch", json_true());
    }
    if (slot->type == SLOT_TEXT && !strcmp(slot->line, "name") && roll(d, 2)) {
        json_object_del(line, "direction");
        json_object_del(line, "enforce");
        json_object_del(line, "default");
        if (json_object_get(line, "introduce") && !strcmp(json_string_value(json_object_get(line, "introduce")), "crm")) {
            json_object_del(line, "introduce");
        }
        json_object_set_new(line, "to_pc", json_pack("{s:[s]}", "events", "create"));
        direction = NULL;
    }
    if (slot->type != SLOT_CONST && roll(d, 3) == 0 && (!direction || strcmp(direction, "to_pc"))) {
        way = gen_way(d, slot, 1);
        json_object_set_new(line, "to_crm", way);
    }
    if (roll(d, 3) == 0 && (!direction || strcmp(direction, "to_crm")) && !json_object_get(line, "to_pc") && slot->ways == 3) {
        json_object_set_new(line, "to_pc", gen_way(d, slot, 0));
    }
    return line;
}

/* Two lines of one direction and one policy belong together. */
static inline void gen_group(dice_t *d, json_t *lines)
{
    json_t *first = NULL, *line;
    const char *name;

    json_object_foreach(lines, name, line) {
        const char *direction = cs_json_str(line, "direction");
        json_t *conflict = json_object_get(line, "conflict");

        if (roll(d, 3) == 0 || json_object_get(line, "latch")) {
            continue;
        }
        if (!first) {
            first = line;
            put_text(line, "group", "g");
            continue;
        }
        if ((direction == NULL) != (cs_json_str(first, "direction") == NULL) || (direction && strcmp(direction, cs_json_str(first, "direction")))) {
            continue;
        }
        if (conflict || json_object_get(first, "conflict")) {
            json_object_del(line, "conflict");
            if (json_object_get(first, "conflict")) {
                json_object_set(line, "conflict", json_object_get(first, "conflict"));
            }
        }
        put_text(line, "group", "g");
    }
}

static inline void gen_tell(dice_t *d, json_t *tell)
{
    if (roll(d, 6)) {
        put_text(tell, "id", "@id");
    }
    if (roll(d, 2)) {
        json_object_set_new(tell, "link", json_pack("{s:s,s:s}", "column", "c_link", "text", "https://example.org/{id}"));
    }
    if (roll(d, 4)) {
        put_text(tell, "status", "c_status");
    }
    if (roll(d, 4)) {
        json_object_set_new(tell, "problem", roll(d, 2) ? json_string("c_problem") : json_pack("{s:s,s:i}", "column", "c_problem", "max", 20 + (int)roll(d, 200)));
    }
    if (roll(d, 2)) {
        json_object_set_new(tell, "audit", json_pack("{s:s,s:i,s:i}", "column", "c_audit", "keep", 1 + (int)roll(d, 5), "max", 40 + (int)roll(d, 400)));
    }
    if (roll(d, 2)) {
        put_text(tell, "synced", "c_synced");
    }
    if (roll(d, 3) == 0) {
        json_object_set_new(tell, "explain", json_pack("{s:s,s:s}", "column", "c_explain", "text", "https://example.org/deals/{id}"));
    }
    if (roll(d, 3) == 0) {
        json_object_set_new(tell, "mark", json_pack("{s:s,s:s,s:s}", "column", "name", "ok", "+ ", "failed", "! "));
    }
}

static inline void gen_list_rules(dice_t *d, json_t *list)
{
    static const char *const policies[] = {"hold", "partner-center", "crm"};
    static const char *const directions[] = {NULL, NULL, "to_crm", "to_pc"};
    const char *direction = PICK(d, directions);

    if (direction) {
        put_text(list, "direction", direction);
    }
    if (roll(d, 2)) {
        json_object_set_new(list, "min", roll(d, 2) ? json_integer(1 + (int)roll(d, 2)) : json_pack("{s:i}", "co-sell", 1));
    }
    if (roll(d, 3) == 0) {
        json_object_set_new(list, "max", json_integer(3));
    }
    if (roll(d, 2)) {
        put_text(list, "conflict", PICK(d, policies));
    }
    if (roll(d, 5) == 0 && (!direction || !strcmp(direction, "to_crm"))) {
        put_text(list, "to_crm", "add-only");
    }
    if (roll(d, 5) == 0 && (!direction || !strcmp(direction, "to_pc"))) {
        put_text(list, "to_pc", "add-only");
    }
    if (roll(d, 8) == 0) {
        json_object_set_new(list, "events", gen_events(d));
    }
    if (roll(d, 8) == 0) {
        json_object_set_new(list, "when", gen_condition(d));
    }
}

static inline void gen_lists(dice_t *d, const crm_t *crm, json_t *kind)
{
    static const char *const solutions[] = {
        "{\"child\":\"oppsolution\",\"parent\":\"oppid\",\"find\":\"solution\",\"column\":\"detailid\"}",
        "{\"child\":\"oppsolution\",\"parent\":\"oppid\",\"find\":\"solution\",\"column\":\"detailid\",\"fields\":{\"quantity\":\"qty\",\"price\":\"price\"}}",
        "{\"child\":\"oppsolution\",\"parent\":\"oppid\",\"where\":{\"role\":7},\"fields\":{\"id\":\"skey\",\"name\":\"stext\",\"quantity\":\"qty\"}}",
    };
    static const char *const users[] = {"[\"ownerid\",{\"record_team\":\"Sales Team\"}]", "[\"ownerid\"]", "[{\"record_team\":\"Sales Team\"}]",
                                        "[\"ownerid\",{\"child\":\"oppuser\",\"parent\":\"oppid\",\"column\":\"userid\"}]"};
    static const char *const rows[] = {"[\"OwnerId\",{\"child\":\"oppuser\",\"parent\":\"oppid\",\"column\":\"userid\"}]", "[\"OwnerId\"]",
                                       "[{\"child\":\"oppuser\",\"parent\":\"oppid\",\"column\":\"userid\"}]",
                                       "[\"OwnerId\",{\"child\":\"oppuser\",\"parent\":\"oppid\",\"column\":\"userid\",\"key\":\"rkey\"}]"};
    json_t *lists = json_object_get(kind, "lists"), *list;
    unsigned which = roll(d, 3);

    if (roll(d, 2)) {
        list = json_pack("{s:s,s:s,s:o}", "pc", "/details/requirements/solutions", "key", "id", "crm", json_loads(solutions[which], 0, NULL));
        if (crm->names_rows) {
            put_text(json_object_get(list, "crm"), "key", "rkey");
        }
        gen_list_rules(d, list);
        if (which != 2 && roll(d, 2)) {
            json_object_set_new(list, "item", json_pack("{s:s,s:s}", "id", "sid", "name", "sname"));
        }
        if (roll(d, 2)) {
            json_object_set_new(list, "set", json_pack("{s:s}", "type", "Name"));
        }
        json_object_set_new(lists, "solutions", list);
    }
    if (roll(d, 3) == 0) {
        list = json_loads("{\"pc\":\"/customerProfile/team\",\"key\":\"email\",\"crm\":{\"column\":\"parentcontactid\",\"find\":\"contact\"},"
                          "\"item\":{\"firstName\":\"firstname\",\"email\":\"email1\"}}",
                          0, NULL);
        gen_list_rules(d, list);
        if (roll(d, 2)) {
            json_object_set_new(list, "required", json_pack("[s]", "firstName"));
        }
        json_object_set_new(lists, "contacts", list);
    }
    if (roll(d, 3) == 0) {
        list = json_loads("{\"pc\":\"/team\",\"key\":\"email\",\"crm\":{\"find\":\"user\"},\"item\":{\"firstName\":\"firstname\",\"email\":\"mail\"}}", 0, NULL);
        json_object_set_new(json_object_get(list, "crm"), "users", json_loads((crm->names_rows ? rows : users)[roll(d, 4)], 0, NULL));
        gen_list_rules(d, list);
        json_object_set_new(lists, "team", list);
    }
    if (roll(d, 3) == 0) {
        json_object_set_new(json_object_get(kind, "from_pc"), "owner", json_pack("{s:s,s:s,s:o}", "find", "user", "each", "/team", "else",
                                                                                  roll(d, 2) ? json_null() : json_string("boss@x.org")));
    }
}

/* The same mapping with something changed, as an administrator would: both are in force in one life. */
static inline void gen_changes(dice_t *d, const crm_t *crm, json_t *root)
{
    json_t *lines = json_object_get(mapping_kind_json(root), "lines"), *line;
    const char *name;
    void *next;

    put_text(root, "revision", "2");
    json_object_foreach_safe(lines, next, name, line) {
        const slot_t *slot = slots;
        json_t *other;

        if (roll(d, 4)) {
            continue;
        }
        while (strcmp(slot->line, name)) {
            slot++;
        }
        other = gen_line(d, crm, slot);
        json_object_set_new(lines, name, other);
    }
}

/* The stages stand for per cent, unless a line writes those. */
static inline void gen_per_cent(dice_t *d, const crm_t *crm, json_t *kind)
{
    json_t *hear = cs_json_pointer(kind, "/state/hear");

    if (crm->names_rows && !json_object_get(json_object_get(kind, "lines"), "stage") && roll(d, 2)) {
        json_object_set_new(json_array_get(hear, 5), "sales_stage", json_integer(20));
        json_object_set_new(json_array_get(hear, 6), "sales_stage", json_integer(60));
        json_object_set_new(json_array_get(hear, 7), "sales_stage", json_integer(100));
    }
}

static inline json_t *gen_mapping(dice_t *d, const crm_t *crm)
{
    json_t *root = json_loads(mapping_frame, 0, NULL), *kind = mapping_kind_json(root), *lines = json_object_get(kind, "lines");
    unsigned density = 2 + roll(d, 4);
    size_t i;

    put_text(root, "crm", crm->type);
    put_text(kind, "table", crm->table);
    json_object_set_new(kind, "state", json_loads(crm->states, 0, NULL));

    for (i = 0; i < SLOTS; i++) {
        if (roll(d, density) == 0) {
            json_object_set_new(lines, slots[i].line, gen_line(d, crm, &slots[i]));
        }
    }
    if (roll(d, 3) == 0) {
        gen_group(d, lines);
    }
    gen_tell(d, json_object_get(kind, "tell"));
    if (roll(d, 2)) {
        gen_lists(d, crm, kind);
    }
    if (roll(d, 4) == 0) {
        json_object_del(json_object_get(json_object_get(kind, "state"), "show"), "New");
    }
    gen_per_cent(d, crm, kind);
    if (roll(d, 2)) {
        static const char *const others[][2] = {{"skip", "skip"}, {"hold", "hold"}, {"omit", "omit"}, {"refuse", "refuse"}};
        json_t *values = json_object_get(root, "values");

        if (roll(d, 2)) {
            const char *const *words = others[roll(d, 3)];

            json_object_set_new(json_object_get(values, "stages"), "else", json_pack("{s:s,s:s}", "to_crm", words[0], "to_pc", words[1]));
        }
        if (roll(d, 2)) {
            json_object_set_new(json_object_get(values, "camps"), "else", json_pack("{s:s,s:s}", "to_crm", "Spring sale", "to_pc", "Spring"));
        }
    }
    return root;
}

#endif
