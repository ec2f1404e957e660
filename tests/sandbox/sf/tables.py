"""The sObjects of the simulated organisation and their fields."""
from . import countries
from .schema import Field, Table

STAGES = [  # label, closed, won, probability, forecast category
    ("Prospecting", False, False, 10, "Pipeline"), ("Qualification", False, False, 10, "Pipeline"),
    ("Needs Analysis", False, False, 20, "Pipeline"), ("Value Proposition", False, False, 50, "Pipeline"),
    ("Id. Decision Makers", False, False, 60, "Pipeline"), ("Perception Analysis", False, False, 70, "Pipeline"),
    ("Proposal/Price Quote", False, False, 75, "Pipeline"), ("Negotiation/Review", False, False, 90, "Pipeline"),
    ("Partner Center - not accepted", False, False, 0, "Omitted"),
    ("Closed Won", True, True, 100, "Closed"), ("Closed Lost", True, False, 0, "Omitted")]
LEAD_STATUSES = [("Open - Not Contacted", False, True), ("Working - Contacted", False, False),
                 ("Closed - Converted", True, False), ("Closed - Not Converted", False, False)]
HELP = ["Workload Specific Value Proposition", "Customer Technical Architecture", "Proof Of Concept Or Demo",
        "Quotes Or Licensing", "Post Sales Customer Success", "General Or Other"]
SOURCES = ["Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"]
ROLES = ["Business User", "Decision Maker", "Economic Buyer", "Economic Decision Maker", "Evaluator",
         "Executive Sponsor", "Influencer", "Technical Buyer", "Other"]
TEAM_ROLES = ["Account Manager", "Channel Manager", "Executive Sponsor", "Lead Qualifier", "Opportunity Owner",
              "Pre-Sales Consultant", "Sales Manager", "Sales Rep", "Co-sell"]
LOSSES = ["Price", "Competition", "No Decision", "Other"]
ZONES = ["Europe/London", "America/Los_Angeles", "Europe/Berlin"]
READ = {"create": False, "update": False}


def F(*args, **more):
    return Field(*args, **more)


def head(*, owner=None):
    fields = [F("Id", "id", required=True, defaulted=True, **READ)]
    if owner:
        fields.append(F("OwnerId", "reference", required=True, defaulted=True, refs=owner, label="Owner ID"))
    return fields


def money():
    return F("CurrencyIsoCode", "picklist", 3, label="Currency ISO Code", restricted=True, needs="MultiCurrency",
             defaulted=True)


def record_type():
    return F("RecordTypeId", "reference", refs=("RecordType",), label="Record Type ID", defaulted=True,
             needs="RecordTypes")


def address(prefix=""):
    codes = [{"value": code, "label": name} for code, name in countries.NAMES.items()]
    states = [{"value": code, "label": name} for code, name in countries.STATES.items()]
    need = {"needs": "StateCountryPicklists", "restricted": True}
    return [F(prefix + "Street", "textarea", 255), F(prefix + "City", "string", 40),
            F(prefix + "State", "string", 80), F(prefix + "PostalCode", "string", 20),
            F(prefix + "Country", "string", 80), F(prefix + "CountryCode", "picklist", 10, options=codes, **need),
            F(prefix + "StateCode", "picklist", 10, options=states, needs="StateCountryPicklists")]


def person(last=True):
    return [F("LastName", "string", 80, required=last), F("FirstName", "string", 40),
            F("Salutation", "picklist", 40, options=["Mr.", "Ms.", "Mrs.", "Dr.", "Prof."]),
            F("Name", "string", 121, required=True, defaulted=True, name_field=True, label="Full Name", **READ)]


def referral():
    """The custom fields a connector of this kind is set up with."""
    return [F("Sync_with_Partner_Center__c", "boolean", default=False),
            F("Referral_Identifier__c", "string", 36, external=True, unique=True),
            F("Referral_Link__c", "url", 255),
            F("How_can_Microsoft_help__c", "picklist", options=HELP, label="How can Microsoft help?"),
            F("Referral_Visibility__c", "boolean", default=False), F("Audit__c", "textarea", 2000),
            F("Microsoft_CRM_Identifier__c", "string", 100), F("Referral_Program__c", "string", 100),
            F("Loss_Reason__c", "picklist", options=LOSSES, restricted=True),
            F("Co_sell_Status__c", "string", 255), F("Co_sell_Problem__c", "string", 255)]


def row_key():
    return F("Co_sell_Row_Key__c", "string", 36, external=True, unique=True)


def opportunity():
    return Table("Opportunity", "Opportunity", "006", head(owner=("User",)) + [
        F("AccountId", "reference", refs=("Account",), child="Opportunities", label="Account ID"), record_type(),
        F("IsPrivate", "boolean", default=False),
        F("Name", "string", 120, required=True, name_field=True), F("Description", "textarea", 32000),
        F("StageName", "picklist", required=True, label="Stage"), F("Amount", "currency"),
        F("Probability", "percent", precision=3, label="Probability (%)"), F("ExpectedRevenue", "currency", **READ),
        F("TotalOpportunityQuantity", "double", scale=2), F("CloseDate", "date", required=True),
        F("Type", "picklist", options=["Existing Business", "New Business"], label="Opportunity Type"),
        F("NextStep", "string", 255), F("LeadSource", "picklist", options=SOURCES),
        F("IsClosed", "boolean", label="Closed", **READ), F("IsWon", "boolean", label="Won", **READ),
        F("ForecastCategory", "picklist", 40, required=True, defaulted=True, options=[
            "Omitted", "Pipeline", "BestCase", "MostLikely", "Forecast", "Closed"], **READ),
        F("ForecastCategoryName", "picklist", 40, options=[
            "Omitted", "Pipeline", "Best Case", "Most Likely", "Commit", "Closed"], defaulted=True, restricted=True),
        money(), F("HasOpportunityLineItem", "boolean", **READ),
        F("ContactId", "reference", refs=("Contact",), update=False), F("LastActivityDate", "date", **READ),
        F("FiscalQuarter", "int", **READ), F("FiscalYear", "int", **READ), F("Fiscal", "string", 6, **READ),
    ] + referral(), plural="Opportunities")


def account():
    return Table("Account", "Account", "001", head(owner=("User",)) + [
        F("MasterRecordId", "reference", refs=("Account",), relation="MasterRecord", **READ),
        F("Name", "string", 255, required=True, name_field=True, label="Account Name"),
        F("Type", "picklist", options=["Customer", "Partner", "Prospect", "Other"]),
        F("ParentId", "reference", refs=("Account",), child="ChildAccounts", relation="Parent"),
        *address("Billing"), *address("Shipping"), F("Phone", "phone"), F("Fax", "phone"),
        F("AccountNumber", "string", 40), F("Website", "url"), F("Industry", "picklist", options=[
            "Agriculture", "Banking", "Education", "Energy", "Finance", "Government", "Healthcare", "Manufacturing",
            "Retail", "Technology", "Other"]),
        F("AnnualRevenue", "currency", scale=0), F("NumberOfEmployees", "int", precision=8),
        F("Description", "textarea", 32000), money(), F("AccountSource", "picklist", options=SOURCES), row_key()])


def contact():
    return Table("Contact", "Contact", "003", head(owner=("User",)) + [
        F("MasterRecordId", "reference", refs=("Contact",), relation="MasterRecord", **READ),
        F("AccountId", "reference", refs=("Account",), child="Contacts", cascade=True), *person(),
        *address("Mailing"), F("Phone", "phone"), F("MobilePhone", "phone"), F("Email", "email"),
        F("Title", "string", 128), F("Department", "string", 80), F("LeadSource", "picklist", options=SOURCES),
        F("Description", "textarea", 32000), money(), row_key()])


def lead():
    return Table("Lead", "Lead", "00Q", head(owner=("Group", "User")) + [
        F("MasterRecordId", "reference", refs=("Lead",), relation="MasterRecord", **READ), *person(),
        F("Title", "string", 128), F("Company", "string", 255, required=True), *address(), F("Phone", "phone"),
        F("MobilePhone", "phone"), F("Email", "email"), F("Website", "url"), F("Description", "textarea", 32000),
        F("LeadSource", "picklist", options=SOURCES), F("Status", "picklist", required=True, defaulted=True),
        F("Industry", "picklist", options=["Banking", "Education", "Energy", "Government", "Manufacturing", "Other"]),
        F("Rating", "picklist", options=["Hot", "Warm", "Cold"]), F("AnnualRevenue", "currency", scale=0),
        F("NumberOfEmployees", "int", precision=8), money(), record_type(),
        F("IsConverted", "boolean", label="Converted", **READ), F("ConvertedDate", "date", **READ),
        F("ConvertedAccountId", "reference", refs=("Account",), **READ),
        F("ConvertedContactId", "reference", refs=("Contact",), **READ),
        F("ConvertedOpportunityId", "reference", refs=("Opportunity",), **READ),
        F("IsUnreadByOwner", "boolean", default=True),
    ] + referral())


def children():
    fixed = {"update": False}
    yield Table("OpportunityContactRole", "Opportunity Contact Role", "00K", head() + [
        F("OpportunityId", "reference", required=True, refs=("Opportunity",), child="OpportunityContactRoles",
          cascade=True, **fixed),
        F("ContactId", "reference", required=True, refs=("Contact",), child="OpportunityContactRoles", cascade=True),
        F("Role", "picklist", 40, options=ROLES), F("IsPrimary", "boolean", label="Primary", default=False), money()],
                bin=False)
    yield Table("OpportunityTeamMember", "Opportunity Team Member", "00q", head() + [
        F("OpportunityId", "reference", required=True, refs=("Opportunity",), child="OpportunityTeamMembers",
          cascade=True, **fixed),
        F("UserId", "reference", required=True, refs=("User",), **fixed), F("Name", "string", 361, **READ),
        F("Title", "string", 80, **READ), F("PhotoUrl", "url", **READ),
        F("TeamMemberRole", "picklist", 40, options=TEAM_ROLES, label="Member Role"),
        F("OpportunityAccessLevel", "picklist", 40, options=["Read", "Edit", "All"], restricted=True, defaulted=True),
        money()], needs="TeamSelling", bin=False)
    yield Table("OpportunityLineItem", "Opportunity Product", "00k", head() + [
        F("OpportunityId", "reference", required=True, refs=("Opportunity",), child="OpportunityLineItems",
          cascade=True, **fixed), F("Name", "string", 376, name_field=True, **READ),
        F("PricebookEntryId", "string", 18), F("Product2Id", "string", 18, **fixed),
        F("ProductCode", "string", 255, **READ), F("Quantity", "double", scale=2, required=True),
        F("UnitPrice", "currency"), F("TotalPrice", "currency"), F("ServiceDate", "date"),
        F("Description", "string", 255), money()])
    yield Table("Microsoft_Solution__c", "Microsoft Solution", "a00", head() + [
        F("Opportunity__c", "reference", required=True, refs=("Opportunity",), child="Microsoft_Solutions__r",
          cascade=True, label="Opportunity", **fixed),
        F("Name", "string", 80, name_field=True, label="Microsoft Solution Name", defaulted=True),
        F("Solution_Identifier__c", "string", 100), F("Row_Key__c", "string", 36, external=True, unique=True),
        money()])


def organisation():
    none = {"create": False, "update": False, "delete": False}
    yield Table("Organization", "Organization", "00D", head() + [
        F("Name", "string", 80, required=True, name_field=True, **READ), F("Country", "string", 80, **READ),
        F("LanguageLocaleKey", "picklist", 40, **READ), F("TimeZoneSidKey", "picklist", 40, **READ),
        F("OrganizationType", "picklist", 40, **READ), F("InstanceName", "string", 5, **READ),
        F("IsSandbox", "boolean", **READ), F("NamespacePrefix", "string", 15, **READ),
        F("TrialExpirationDate", "datetime", **READ), F("DefaultCurrencyIsoCode", "picklist", 3, **READ)], **none)
    yield Table("User", "User", "005", head() + [
        F("Username", "string", 80, required=True), *person(), F("CompanyName", "string", 80), F("Email", "email",
                                                                                              required=True),
        F("Title", "string", 80), F("Phone", "phone"), F("IsActive", "boolean", default=True),
        F("Alias", "string", 8), F("TimeZoneSidKey", "picklist", 40, options=ZONES),
        F("UserType", "picklist", 40, options=["Standard", "PowerPartner", "CspLitePortal"], default="Standard",
          update=False), F("FederationIdentifier", "string", 512), F("EmployeeNumber", "string", 20),
        F("DefaultCurrencyIsoCode", "picklist", 3, needs="MultiCurrency")], delete=False)
    yield Table("Group", "Group", "00G", head() + [
        F("Name", "string", 40, required=True, name_field=True), F("DeveloperName", "string", 80),
        F("Type", "picklist", 40, options=["Queue", "Regular"], default="Queue"), F("Email", "email")])
    yield Table("RecordType", "Record Type", "012", head() + [
        F("Name", "string", 80, required=True, name_field=True), F("DeveloperName", "string", 80, required=True),
        F("Description", "string", 255), F("SobjectType", "picklist", 40, required=True),
        F("IsActive", "boolean", default=True)], delete=False)
    yield Table("CurrencyType", "Currency Type", "01L", head() + [
        F("IsoCode", "picklist", 3, required=True), F("ConversionRate", "double", scale=6, required=True),
        F("DecimalPlaces", "int", required=True, default=2), F("IsActive", "boolean", default=True),
        F("IsCorporate", "boolean")], needs="MultiCurrency", delete=False)
    yield Table("OpportunityStage", "Opportunity Stage", "01J", head() + [
        F("MasterLabel", "string", 255, name_field=True, **READ), F("ApiName", "string", 255, **READ),
        F("IsActive", "boolean", default=True, **READ), F("SortOrder", "int", **READ), F("IsClosed", "boolean", **READ),
        F("IsWon", "boolean", **READ), F("ForecastCategory", "picklist", 40, **READ),
        F("ForecastCategoryName", "picklist", 40, **READ), F("DefaultProbability", "percent", precision=3, **READ),
        F("Description", "string", 255, **READ)], **none)
    yield Table("LeadStatus", "Lead Status Value", "01J", head() + [
        F("MasterLabel", "string", 255, name_field=True, **READ), F("ApiName", "string", 255, **READ),
        F("SortOrder", "int", **READ), F("IsDefault", "boolean", **READ), F("IsConverted", "boolean", **READ)], **none)


def all_tables():
    found = [account(), contact(), opportunity(), lead(), *children(), *organisation()]
    return {table.name: table for table in found}
