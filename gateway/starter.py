"""The gateway.toml that `gateway init` writes. The one in the repository is the same text with the example's keys."""

from __future__ import annotations

import secrets

#: Random bytes of a fresh key: 192 bits.
KEY_BYTES = 24

_TEXT = """\
# The configuration of the gateway. Every key is told in docs/configuration.md; `gateway check` reads this file and
# says what is wrong with it. What is commented out shows the default, or an example where there is none.
#
# ${{NAME}} takes an environment variable, ${{file:PATH}} a file's content, $$ is a dollar. Durations are seconds or
# "500ms", "30s", "5m", "12h", "7d".

# plugins_dir = "plugins"              # further destinations: every .py file in this folder

[server]
# host = "127.0.0.1"                   # 0.0.0.0: every interface; put a proxy with TLS in front
# port = 8080
# trusted_proxies = ["10.0.0.0/8"]     # whose X-Forwarded-For is believed
# max_body_bytes = "5MB"
# max_events = 1000                    # in one request
# admin_token = "${{ADMIN_TOKEN}}"       # opens /admin/api/; absent: it is not there

[outbox]
# url = "sqlite:///gateway.db"         # relative to this file; four slashes: absolute
# retention = "30d"                    # ids, names, times and states
# dedup_window = "7d"                  # the same name and id within it: a duplicate

[privacy]
# payload_retention = "7d"             # digests, click ids, what was bought; replay needs it
# misplaced = "refuse"                 # personal data in URLs and free fields: refuse the event, not only remove it
# encryption_key = "${{file:payload.key}}" # encrypts what is stored of events; `openssl rand -base64 32` makes one
# ip_retention = "final"               # IP address, user agent: until the last delivery is final, or a duration
# url_parameters = ["utm_source"]      # the only ones that stay in URLs; default: all but personal data
# digest_rules = "configured"          # "all": a destination added later can be sent old events
# ledger_retention = "730d"            # decisions and signals, without anything personal: docs/ledger.md
# ledger_anchor = "ledger.txt"         # where the ledger's head is written down

# Who may post events. Keep the keys out of this file in production: write_key = "${{WEB_KEY}}".
[sources.web]
write_key = "{write_key}"
# public_key = "..."                   # for browsers: may stand in a page, at least 16 characters
# origins = ["https://shop.example"]   # the pages that may use the public key
# region = "DE"                        # only if all visitors are from there
# default_country = "DE"               # for phone numbers written without one
# dedup_group = "shop"                 # sources of one group share their duplicates
# browser = {{ cookies = ["_fbc"] }}     # what the browser snippet's answers set: docs/doors/browser.md
# conversions_api = {{ pixel_id = "1234567890" }}      # Meta's own format: pixels that the key may post to; absent: any
# measurement_protocol = {{ measurement_id = "G-ABC123" }} # GA4's formats: the stream, by which a page's tag is known
# segment = {{ events = {{ "Quiz Finished" = "Lead" }} }} # Segment's SDKs: docs/doors/segment.md

# A shop's webhooks, posted to /webhooks/shop: docs/doors/ tells what to click in the shop.
# [sources.shop]
# kind = "shopify"                     # or "woocommerce", "stripe"
# signing_secret = "${{SHOP_SECRET}}"    # what the shop signs with; a list of them for rotation
# purchase_when = "paid"               # or "created"

# What no signal means, by region. A denial is always a denial. Shipped: US allows, every other country denies.
[consent]
# unknown_region = "deny"

# [consent.regions.US-CA]
# default = "deny"                     # "allow" or "deny"
# on_opt_out = "skip"                  # "limited": the platform's limited mode, which still sends some data

# Where events go. Set `enabled = true` and the variables that a table names; nothing is sent before.
[destinations.meta]
enabled = false
plugin = "meta"
pixel_id = "${{META_PIXEL_ID}}"
access_token = "${{META_ACCESS_TOKEN}}"
# test_event_code = "TEST12345"        # for events with "test": true
# events = ["Purchase", "Lead"]        # only these; or a table: {{ Purchase = "MyPurchase", Search = false }}
# fields = ["user_data.date_of_birth"] # never sent
# rate_limit = "10/s"                  # requests
# max_age = "2d"                       # older events are not sent
# retry = {{ first = "5s", factor = 2, max = "1h", give_up = "3d" }}

# [destinations.meta.consent]
# requires = ["ad_storage", "ad_user_data", "ad_personalization"]
# on_opt_out = "limited"
# atp_id = 89                          # its number in Additional Consent strings; tcf_vendor: in TC strings

[destinations.tiktok]
enabled = false
plugin = "tiktok"
pixel_code = "${{TIKTOK_PIXEL_CODE}}"
access_token = "${{TIKTOK_ACCESS_TOKEN}}"

[destinations.google]
enabled = false
plugin = "google"
customer_id = "${{GOOGLE_ADS_CUSTOMER_ID}}"
client_id = "${{GOOGLE_CLIENT_ID}}"
client_secret = "${{GOOGLE_CLIENT_SECRET}}"
refresh_token = "${{file:google-refresh-token}}"
# service_account_file = "google.json" # instead of the three

[destinations.google.conversion_actions]
Purchase = "1234567890"                # the number of the conversion action in Google Ads
Lead = "1234567891"

[destinations.pinterest]
enabled = false
plugin = "pinterest"
ad_account_id = "${{PINTEREST_AD_ACCOUNT_ID}}"
access_token = "${{PINTEREST_ACCESS_TOKEN}}"

[destinations.snapchat]
enabled = false
plugin = "snapchat"
pixel_id = "${{SNAPCHAT_PIXEL_ID}}"
access_token = "${{SNAPCHAT_ACCESS_TOKEN}}"
"""


def fresh() -> str:
    """A configuration with random keys, different each time."""
    return _TEXT.format(write_key=secrets.token_urlsafe(KEY_BYTES))


def example() -> str:
    """The same with keys that everybody knows: they are refused unless the gateway listens to this machine only."""
    return _TEXT.format(write_key="example-write-key-0000")
