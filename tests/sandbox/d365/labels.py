"""German next to the English labels: organisations speak more than one language."""

ENGLISH, GERMAN = 1033, 1031

TEXTS = {
    "Account": "Firma", "Contact": "Kontakt", "Lead": "Lead", "Opportunity": "Verkaufschance", "Team": "Team",
    "Systemuser": "Benutzer", "Organization": "Organisation", "Transactioncurrency": "Währung",
    "Open": "Offen", "Won": "Gewonnen", "Lost": "Verloren", "In Progress": "In Bearbeitung", "On Hold": "In Wartestellung",
    "Canceled": "Abgebrochen", "Out-Sold": "Ausverkauft", "Active": "Aktiv", "Inactive": "Inaktiv", "New": "Neu",
    "Contacted": "Kontaktiert", "Qualified": "Qualifiziert", "Disqualified": "Nicht qualifiziert",
    "Cannot Contact": "Kontaktaufnahme nicht möglich", "No Longer Interested": "Nicht mehr interessiert",
    "Completed": "Abgeschlossen", "Hot": "Heiß", "Warm": "Warm", "Cold": "Kalt", "Qualify": "Qualifizieren",
    "Develop": "Entwickeln", "Propose": "Vorschlagen", "Close": "Schließen", "Immediate": "Sofort",
    "This Quarter": "Dieses Quartal", "Next Quarter": "Nächstes Quartal", "This Year": "Dieses Jahr",
    "Unknown": "Unbekannt", "Yes": "Ja", "No": "Nein", "Owner": "Besitzer", "Access": "Zugriff",
    "Workload Specific Value Proposition": "Arbeitsauslastungsspezifisches Nutzenversprechen",
    "Customer Technical Architecture": "Technische Architektur des Kunden",
    "Proof Of Concept Or Demo": "Machbarkeitsstudie oder Demo", "Quotes Or Licensing": "Angebote oder Lizenzierung",
    "Post Sales Customer Success": "Kundenerfolg nach dem Verkauf", "General Or Other": "Allgemein oder Sonstiges",
    "Advertisement": "Werbung", "Partner": "Partner", "Web": "Web", "Other": "Sonstige",
    "Name": "Name", "Description": "Beschreibung", "Est. Revenue": "Geschätzter Umsatz", "Status": "Status",
    "Status Reason": "Statusgrund", "Sync With Partner Center": "Mit Partner Center synchronisieren",
    "Referral Identifier": "Empfehlungs-ID", "Referral Link": "Empfehlungslink",
    "How Can Microsoft Help": "Wie kann Microsoft helfen", "Referral Visibility": "Sichtbarkeit der Empfehlung",
    "Audit": "Überwachung", "Referral Program": "Empfehlungsprogramm", "Visible to Microsoft sellers":
    "Für Microsoft-Verkäufer sichtbar", "Not visible": "Nicht sichtbar",
}

# What the forms call columns whose names say something else.
NAMES = {"statecode": "Status", "statuscode": "Status Reason", "estimatedvalue": "Est. Revenue", "estimatedclosedate": "Est. Close Date",
         "transactioncurrencyid": "Currency", "parentaccountid": "Account", "parentcontactid": "Contact", "ownerid": "Owner",
         "parentcustomerid": "Company Name", "emailaddress1": "Email", "telephone1": "Business Phone", "jobtitle": "Job Title",
         "firstname": "First Name", "lastname": "Last Name", "companyname": "Company Name", "subject": "Topic",
         "actualrevenue": "Actual Revenue", "actualend": "Actual End"}


def in_language(text, language, translations=None):
    """The label in a language; as everywhere in the service, the base language fills the gaps."""
    if language != ENGLISH:
        found = (translations or {}).get(language)
        if found is None and language == GERMAN:
            found = TEXTS.get(text)
        if found is not None:
            return found
    return text


def all_languages(text, translations=None):
    """[(language, text)] of all translations there are."""
    out = [(ENGLISH, text)]
    for language in sorted({GERMAN, *(translations or ())} - {ENGLISH}):
        found = (translations or {}).get(language) or (TEXTS.get(text) if language == GERMAN else None)
        if found is not None:
            out.append((language, found))
    return out
