/* Metadata as the environment tells it, folded into one document. (domain/record.h; crm-apis.md
 * A17) */
#include "unit_dynamics.h"

#define LABEL(en, de)                                                                              \
    "{\"LocalizedLabels\":[{\"Label\":\"" en                                                       \
    "\",\"LanguageCode\":1033,\"IsManaged\":true},{\"Label\":\"" de                                \
    "\",\"LanguageCode\":1031}],\"UserLocalizedLabel\":{\"Label\":\"" en                           \
    "\",\"LanguageCode\":1033}}"
#define NO_LABEL "{\"LocalizedLabels\":[],\"UserLocalizedLabel\":null}"
#define COLUMN(name, type, type_name, rest)                                                        \
    "{\"LogicalName\":\"" name "\",\"AttributeType\":\"" type                                      \
    "\",\"AttributeTypeName\":{\"Value\":\"" type_name "\"},\"MetadataId\":\"x\"," rest "}"
#define FREE                                                                                       \
    "\"AttributeOf\":null,\"IsValidForCreate\":true,\"IsValidForUpdate\":true,\"IsValidForRead\":" \
    "true,\"SourceType\":0,\"DisplayName\":"
#define FIXED                                                                                      \
    "\"AttributeOf\":null,\"IsValidForCreate\":false,\"IsValidForUpdate\":false,"                  \
    "\"IsValidForRead\":true,\"SourceType\":null,\"DisplayName\":"

/* What each question was answered, by a piece of its address. */
static const char *const documents[][2] =
    {
        {"organizations?", "{\"value\":[{\"organizationid\":\"x\",\"languagecode\":1031}]}"},
        {"$expand=Keys",
         "{\"LogicalName\":\"opportunity\",\"EntitySetName\":\"opportunities\","
         "\"PrimaryIdAttribute\":\"opportunityid\","
         "\"PrimaryNameAttribute\":\"name\",\"DisplayName\":" LABEL(
             "Opportunity",
             "Verkaufschance") ",\"Keys\":["
                               "{\"KeyAttributes\":[\"new_referralid\"],\"EntityKeyIndexStatus\":"
                               "\"Active\"},"
                               "{\"KeyAttributes\":[\"new_a\",\"new_b\"],\"EntityKeyIndexStatus\":"
                               "\"Pending\"}],\"ManyToOneRelationships\":["
                               "{\"ReferencingAttribute\":\"new_partner\",\"ReferencedEntity\":"
                               "\"account\",\"ReferencingEntityNavigationPropertyName\":\"new_"
                               "Partner\"}]}"},
        {"/Attributes?",
         "{\"value\":[" COLUMN(
             "opportunityid", "Uniqueidentifier", "UniqueidentifierType",
             FIXED NO_LABEL) "," COLUMN("name", "String", "StringType",
                                        FREE LABEL(
                                            "Topic",
                                            "Thema")) "," COLUMN("description", "Memo", "MemoType",
                                                                 FREE
                                                                     LABEL(
                                                                         "Description",
                                                                         "Beschreibung")) "," COLUMN("statecode",
                                                                                                     "State",
                                                                                                     "StateType", FIXED LABEL("Status", "Status")) "," COLUMN("statuscode", "Status", "StatusType", FREE LABEL("Status Reason", "Statusgrund")) "," COLUMN("salesstage", "Picklist", "PicklistType", FREE LABEL("Sales Stage", "Vertriebsphase")) "," COLUMN("new_global",
                                                                                                                                                                                                                                                                                                                                                             "Picklist",
                                                                                                                                                                                                                                                                                                                                                             "PicklistType", FREE LABEL("Global", "Global")) "," COLUMN("new_many",
                                                                                                                                                                                                                                                                                                                                                                                                                        "Virtual",
                                                                                                                                                                                                                                                                                                                                                                                                                        "MultiSelectPicklistType",
                                                                                                                                                                                                                                                                                                                                                                                                                        FREE LABEL(
                                                                                                                                                                                                                                                                                                                                                                                                                            "Many",
                                                                                                                                                                                                                                                                                                                                                                                                                            "Viele")) "," COLUMN("isrevenuesystemcalculated",
                                                                                                                                                                                                                                                                                                                                                                                                                                                 "Boolean",
                                                                                                                                                                                                                                                                                                                                                                                                                                                 "BooleanType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                 FREE
                                                                                                                                                                                                                                                                                                                                                                                                                                                     LABEL("Revenue", "Umsatz")) "," COLUMN("estimatedvalue",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "Money", "MoneyType", FREE LABEL("Est. Revenue", "Gesch. Umsatz")) "," COLUMN("new_own",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          "Money",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          "MoneyType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          FREE
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                              LABEL(
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                  "Own", "Eigen")) "," COLUMN("exchangerate",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                              "Decimal", "DecimalType", FIXED LABEL("Exchange Rate", "Kurs")) "," COLUMN("estimatedclosedate",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "DateTime",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                         "DateTimeType", FREE LABEL("Close", "Abschluss")) "," COLUMN("new_shown", "DateTime", "DateTimeType", FREE LABEL("Shown", "Gezeigt")) "," COLUMN("modifiedon",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          "DateTime",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          "DateTimeType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                          FIXED LABEL("Modified On",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                      "Ge\xc3\xa4ndert am")) "," COLUMN("closeprobability", "Integer", "IntegerType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                        FREE LABEL("Probability",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "")) "," COLUMN("new_rollup",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "Integer",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "IntegerType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "\"AttributeOf\":null,\"IsValidForCreate\":false,\"IsValidForUpdate\":false,\"IsValidForRead\":true,"
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                   "\"SourceType\":2,\"DisplayName\":" NO_LABEL) "," COLUMN("parentaccountid",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "Lookup",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            "LookupType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                            FREE
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                LABEL(
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "Account",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                    "Firma")) "," COLUMN("customerid", "Customer", "CustomerType", FREE LABEL("Customer", "Kunde")) "," COLUMN("ownerid", "Owner", "OwnerType", FREE LABEL("Owner", "Besitzer")) "," COLUMN("parentaccountidname", "String", "StringType", "\"AttributeOf\":\"parentaccountid\",\"DisplayName\":" NO_LABEL) "," COLUMN("entityimage",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       "Virtual",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       "ImageType",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                       FREE
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                           NO_LABEL) "," COLUMN("new bad",
                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                                "String", "StringType", FREE NO_LABEL) "]}"},
        {".StringAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"name\",\"MaxLength\":300},{\"LogicalName\":"
         "\"parentaccountidname\",\"MaxLength\":100}]}"},
        {".MemoAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"description\",\"MaxLength\":2000}]}"},
        {".MoneyAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"estimatedvalue\",\"Precision\":2,\"PrecisionSource\":2},"
         "{\"LogicalName\":\"new_own\",\"Precision\":4,\"PrecisionSource\":0}]}"},
        {".DecimalAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"exchangerate\",\"Precision\":10}]}"},
        {".DoubleAttributeMetadata", "{\"value\":[]}"},
        {".DateTimeAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"estimatedclosedate\",\"Format\":\"DateOnly\","
         "\"DateTimeBehavior\":{\"Value\":\"DateOnly\"}},"
         "{\"LogicalName\":\"new_shown\",\"Format\":\"DateOnly\",\"DateTimeBehavior\":{\"Value\":"
         "\"UserLocal\"}},"
         "{\"LogicalName\":\"modifiedon\",\"Format\":\"DateAndTime\",\"DateTimeBehavior\":{"
         "\"Value\":\"UserLocal\"}}]}"},
        {".LookupAttributeMetadata", "{\"value\":[{\"LogicalName\":\"parentaccountid\",\"Targets\":"
                                     "[\"account\"]},{\"LogicalName\":\"customerid\","
                                     "\"Targets\":[\"account\",\"contact\"]},{\"LogicalName\":"
                                     "\"ownerid\",\"Targets\":[\"systemuser\",\"team\"]}]}"},
        {".PicklistAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"salesstage\",\"OptionSet\":{\"Options\":[{\"Value\":0,"
         "\"Label\":" LABEL(
             "Qualify",
             "Qualifizieren") "},{\"Value\":1,"
                              "\"Label\":" LABEL(
                                  "Develop",
                                  "Develop") "},{\"Value\":null,\"Label\":" NO_LABEL
                                             "}]},\"GlobalOptionSet\":null},{\"LogicalName\":\"new_"
                                             "global\","
                                             "\"OptionSet\":null,\"GlobalOptionSet\":{\"Options\":["
                                             "{\"Value\":7,\"Label\":" NO_LABEL "}]}}]}"},
        {".MultiSelectPicklistAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"new_many\",\"OptionSet\":{\"Options\":[{\"Value\":1,"
         "\"Label\":" LABEL("One", "Eins") "}]}}]}"},
        {".StateAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"statecode\",\"OptionSet\":{\"Options\":[{\"Value\":0,"
         "\"DefaultStatus\":1,\"Label\":" LABEL("Open", "Offen") "}]}}]}"},
        {".StatusAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"statuscode\",\"OptionSet\":{\"Options\":[{\"Value\":1,"
         "\"State\":0,\"Label\":" LABEL("In Progress",
                                        "In Arbeit") "},"
                                                     "{\"Value\":3,\"State\":1,\"Label\":" LABEL(
                                                         "Won", "Gewonnen") "}]}}]}"},
        {".BooleanAttributeMetadata",
         "{\"value\":[{\"LogicalName\":\"isrevenuesystemcalculated\",\"OptionSet\":{\"TrueOption\":"
         "{\"Value\":1,\"Label\":" LABEL("System",
                                         "System") "},"
                                                   "\"FalseOption\":{\"Value\":0,\"Label\":" LABEL(
                                                       "User", "Benutzer") "}}}]}"},
};

typedef struct world_t {
    const char *refused; /* piece of the address of the question that is not answered, and */
    const char *instead; /* what it is answered */
} world_t;

static const char *environment(canned_t *c, const canned_op_t *op)
{
    static char text[16000];
    const world_t *w = c->baton;
    size_t i;

    if (w && w->refused && strstr(op->path, w->refused)) {
        return w->instead;
    }
    if (strstr(op->path, "'nosuchtable'")) {
        return "404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x80060888\",\"message\":\"Could not "
               "find an entity\"}}";
    }
    for (i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        if (strstr(op->path, documents[i][0])) {
            snprintf(text, sizeof(text), "200 OK\r\n\r\n%s", documents[i][1]);
            return text;
        }
    }
    return "404 Not Found\r\n\r\n{\"error\":{\"code\":\"0x8006088a\",\"message\":\"segment\"}}";
}

static const json_t *describe(rig_t *r, const char *tables, cs_result_t *res, apr_pool_t *p)
{
    json_t *metadata = NULL;
    int calls = 0;
    apr_status_t rv = r->impl->describe(r->crm, words_of(p, tables), &metadata, &calls, 0, p, res);

    assert_int_equal(rv, res->rv);
    assert_int_equal(rv == APR_SUCCESS, metadata != NULL);
    assert_int_equal(calls, r->server->n_requests);
    return metadata;
}

static void test_document(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_result_t res;
    const json_t *d = describe(r, "opportunity nosuchtable bad'name", &res, p);

    assert_int_equal(r->server->n_requests, 1);
    assert_json(
        d,
        "{\"language\":1031,\"tables\":{\"opportunity\":{\"label\":\"Verkaufschance\",\"key\":"
        "\"opportunityid\",\"name\":\"name\",\"keys\":["
        "{\"columns\":[\"new_referralid\"],\"active\":true},{\"columns\":[\"new_a\",\"new_b\"],"
        "\"active\":false}],\"columns\":{"
        "\"opportunityid\":{\"type\":\"id\",\"create\":false,\"update\":false,\"read\":true},"
        "\"name\":{\"label\":\"Thema\",\"type\":\"text\",\"create\":true,\"update\":true,\"read\":"
        "true,\"max\":300},"
        "\"description\":{\"label\":\"Beschreibung\",\"type\":\"memo\",\"create\":true,\"update\":"
        "true,\"read\":true,\"max\":2000},"
        "\"statecode\":{\"label\":\"Status\",\"type\":\"choice\",\"create\":false,\"update\":false,"
        "\"read\":true,\"options\":["
        "{\"value\":0,\"label\":\"Offen\",\"labels\":[\"Offen\",\"Open\"]}]},"
        "\"statuscode\":{\"label\":\"Statusgrund\",\"type\":\"choice\",\"create\":true,\"update\":"
        "true,\"read\":true,\"options\":["
        "{\"value\":1,\"label\":\"In Arbeit\",\"labels\":[\"In Arbeit\",\"In "
        "Progress\"],\"state\":0},"
        "{\"value\":3,\"label\":\"Gewonnen\",\"labels\":[\"Gewonnen\",\"Won\"],\"state\":1}]},"
        "\"salesstage\":{\"label\":\"Vertriebsphase\",\"type\":\"choice\",\"create\":true,"
        "\"update\":true,\"read\":true,\"options\":["
        "{\"value\":0,\"label\":\"Qualifizieren\",\"labels\":[\"Qualifizieren\",\"Qualify\"]},"
        "{\"value\":1,\"label\":\"Develop\",\"labels\":[\"Develop\"]}]},"
        "\"new_global\":{\"label\":\"Global\",\"type\":\"choice\",\"create\":true,\"update\":true,"
        "\"read\":true,\"options\":[{\"value\":7,\"labels\":[]}]},"
        "\"new_many\":{\"label\":\"Viele\",\"type\":\"choices\",\"create\":true,\"update\":true,"
        "\"read\":true,\"options\":["
        "{\"value\":1,\"label\":\"Eins\",\"labels\":[\"Eins\",\"One\"]}]},"
        "\"isrevenuesystemcalculated\":{\"label\":\"Umsatz\",\"type\":\"flag\",\"create\":true,"
        "\"update\":true,\"read\":true,\"options\":["
        "{\"value\":false,\"label\":\"Benutzer\",\"labels\":[\"Benutzer\",\"User\"]},{\"value\":"
        "true,\"label\":\"System\",\"labels\":[\"System\"]}]},"
        "\"estimatedvalue\":{\"label\":\"Gesch. "
        "Umsatz\",\"type\":\"money\",\"create\":true,\"update\":true,\"read\":true},"
        "\"new_own\":{\"label\":\"Eigen\",\"type\":\"money\",\"create\":true,\"update\":true,"
        "\"read\":true,\"precision\":4},"
        "\"exchangerate\":{\"label\":\"Kurs\",\"type\":\"decimal\",\"create\":false,\"update\":"
        "false,\"read\":true,\"precision\":10},"
        "\"estimatedclosedate\":{\"label\":\"Abschluss\",\"type\":\"date\",\"create\":true,"
        "\"update\":true,\"read\":true},"
        "\"new_shown\":{\"label\":\"Gezeigt\",\"type\":\"instant\",\"create\":true,\"update\":true,"
        "\"read\":true},"
        "\"modifiedon\":{\"label\":\"Ge\xc3\xa4ndert "
        "am\",\"type\":\"instant\",\"create\":false,\"update\":false,\"read\":true},"
        "\"closeprobability\":{\"label\":\"Probability\",\"type\":\"integer\",\"create\":true,"
        "\"update\":true,\"read\":true},"
        "\"new_rollup\":{\"type\":\"integer\",\"create\":false,\"update\":false,\"read\":true,"
        "\"calculated\":true},"
        "\"parentaccountid\":{\"label\":\"Firma\",\"type\":\"look-up\",\"create\":true,\"update\":"
        "true,\"read\":true,\"targets\":[\"account\"]},"
        "\"customerid\":{\"label\":\"Kunde\",\"type\":\"look-up\",\"create\":true,\"update\":true,"
        "\"read\":true,\"targets\":[\"account\",\"contact\"]},"
        "\"ownerid\":{\"label\":\"Besitzer\",\"type\":\"look-up\",\"create\":true,\"update\":true,"
        "\"read\":true,\"targets\":[\"systemuser\",\"team\"]},"
        "\"entityimage\":{\"type\":\"other\",\"create\":true,\"update\":true,\"read\":true}}}}}",
        p);
    canned_stop(r->server);
}

static void test_what_is_refused_is_absent(void **state)
{
    static const char no[] =
        "403 Forbidden\r\n\r\n{\"error\":{\"code\":\"0x80040220\",\"message\":\"no\"}}";
    static const char bad[] =
        "400 Bad\r\n\r\n{\"error\":{\"code\":\"0x80060888\",\"message\":\"no property\"}}";
    apr_pool_t *p = *state;
    world_t w = {NULL, bad};
    rig_t *r = rig(environment, p);
    const json_t *d, *column;
    cs_result_t res;

    r->server->baton = &w;
    w.refused = "organizations?";
    d = describe(r, "opportunity", &res, p);
    assert_int_equal(cs_json_int(d, "language", 0), 1033);
    assert_string_equal(cs_json_str(cs_json_pointer(d, "/tables/opportunity"), "label"),
                        "Opportunity");
    canned_forget(r->server);
    w.refused = ".PicklistAttributeMetadata";
    d = describe(r, "opportunity", &res, p);
    column = cs_json_pointer(d, "/tables/opportunity/columns/salesstage");
    assert_string_equal(cs_json_str(column, "type"), "choice");
    assert_null(cs_json_get(column, "options"));
    canned_forget(r->server);
    w.refused = "/Attributes?";
    assert_json(describe(r, "opportunity", &res, p), "{\"language\":1031,\"tables\":{}}", p);
    canned_forget(r->server);
    /* no right to see it is as good as not being there */
    w.refused = "$expand=Keys";
    w.instead = no;
    assert_json(describe(r, "opportunity", &res, p), "{\"language\":1031,\"tables\":{}}", p);
    canned_stop(r->server);
}

static void test_trouble_is_no_answer(void **state)
{
    static const struct {
        const char *answer;
        cs_class_e cls;
    } table[] = {
        {"429 Busy\r\nRetry-After: "
         "3\r\n\r\n{\"error\":{\"code\":\"0x80072322\",\"message\":\"x\"}}",
         CS_CLASS_THROTTLED},
        {"503 Later\r\n\r\n", CS_CLASS_RETRY},
        {"200 OK\r\n\r\n[]", CS_CLASS_RETRY},
        {"200 OK\r\n\r\n<html>", CS_CLASS_RETRY},
        {"403 No\r\n\r\n{\"error\":{\"code\":\"0x80072560\",\"message\":\"no member\"}}",
         CS_CLASS_SUSPEND},
    };
    apr_pool_t *p = *state;
    size_t i;

    for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        world_t w = {"/Attributes?", table[i].answer};
        rig_t *r = rig(environment, p);
        cs_result_t res;

        r->server->baton = &w;
        assert_null(describe(r, "opportunity", &res, p));
        expect(&res, table[i].cls, NULL);
        assert_int_not_equal(res.rv, APR_SUCCESS);
        canned_stop(r->server);
    }
}

static void test_many_tables_are_few_requests(void **state)
{
    apr_pool_t *p = *state;
    rig_t *r = rig(environment, p);
    cs_result_t res;
    const json_t *d = describe(r, "a b c d e f g", &res, p);

    assert_int_equal(json_object_size(cs_json_get(d, "tables")), 7);
    assert_int_equal(r->server->n_requests, 1);
    /* nothing at all is a document, too */
    canned_forget(r->server);
    d = describe(r, "", &res, p);
    assert_json(d, "{\"language\":1031,\"tables\":{}}", p);
    canned_stop(r->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_document),
        UNIT_TEST(test_what_is_refused_is_absent),
        UNIT_TEST(test_trouble_is_no_answer),
        UNIT_TEST(test_many_tables_are_few_requests),
    };

    return UNIT_RUN(tests);
}
