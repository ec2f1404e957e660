"""Picklists of an organisation that has state and country picklists switched on: codes and names."""
TEXT = """AE United Arab Emirates|AR Argentina|AT Austria|AU Australia|BE Belgium|BG Bulgaria|BR Brazil|CA Canada|
CH Switzerland|CL Chile|CN China|CO Colombia|CY Cyprus|CZ Czech Republic|DE Germany|DK Denmark|EE Estonia|EG Egypt|
ES Spain|FI Finland|FR France|GB United Kingdom|GR Greece|HR Croatia|HU Hungary|ID Indonesia|IE Ireland|IL Israel|
IN India|IS Iceland|IT Italy|JP Japan|KE Kenya|KR Korea, Republic of|KW Kuwait|LT Lithuania|LU Luxembourg|LV Latvia|
MA Morocco|MT Malta|MX Mexico|MY Malaysia|NG Nigeria|NL Netherlands|NO Norway|NZ New Zealand|PE Peru|PH Philippines|
PK Pakistan|PL Poland|PT Portugal|QA Qatar|RO Romania|RS Serbia|SA Saudi Arabia|SE Sweden|SG Singapore|SI Slovenia|
SK Slovakia|TH Thailand|TR Turkey|TW Taiwan|UA Ukraine|US United States|UY Uruguay|VN Viet Nam|ZA South Africa"""
NAMES = dict(one.strip().split(" ", 1) for one in TEXT.replace("\n", "").split("|"))
CODES = {name.lower(): code for code, name in NAMES.items()}
STATE_TEXT = """AK Alaska|AL Alabama|AR Arkansas|AZ Arizona|CA California|CO Colorado|CT Connecticut|DC District of Columbia|DE Delaware|
FL Florida|GA Georgia|HI Hawaii|IA Iowa|ID Idaho|IL Illinois|IN Indiana|KS Kansas|KY Kentucky|LA Louisiana|MA Massachusetts|
MD Maryland|ME Maine|MI Michigan|MN Minnesota|MO Missouri|MS Mississippi|MT Montana|NC North Carolina|ND North Dakota|
NE Nebraska|NH New Hampshire|NJ New Jersey|NM New Mexico|NV Nevada|NY New York|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|
RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|VA Virginia|VT Vermont|WA Washington|
WI Wisconsin|WV West Virginia|WY Wyoming|AB Alberta|BC British Columbia|MB Manitoba|ON Ontario|QC Quebec"""
STATES = dict(one.strip().split(" ", 1) for one in STATE_TEXT.replace("\n", "").split("|"))
