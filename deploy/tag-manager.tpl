___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Conversions gateway",
  "categories": ["CONVERSIONS", "ADVERTISING"],
  "brand": { "id": "brand_dummy", "displayName": "" },
  "description": "Loads the browser snippet of your own conversions gateway and tells it what happens on the page.",
  "containerContexts": ["WEB"]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "gateway",
    "displayName": "Address of the gateway, like https://events.shop.example",
    "simpleValueType": true,
    "valueValidators": [{ "type": "REGEX", "args": ["^https://[^/?#]+(/[^?#]*)?$"] }]
  },
  {
    "type": "TEXT",
    "name": "key",
    "displayName": "Public key",
    "simpleValueType": true,
    "valueValidators": [{ "type": "NON_EMPTY" }]
  },
  {
    "type": "TEXT",
    "name": "event",
    "displayName": "Event, like Purchase. Empty: only load the snippet, which counts page views by itself",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "customData",
    "displayName": "Variable with custom_data: an object with value, currency, order_id, contents …",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "userData",
    "displayName": "Variable with user_data: an object with email, phone, external_id …",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "eventId",
    "displayName": "Variable with the event's id. Empty: an order's number, else a fresh one",
    "simpleValueType": true
  },
  {
    "type": "TEXT",
    "name": "mirror",
    "displayName": "Pixels on the page that are told the same event and id, like fbq ttq pintrk snaptr gtag. Empty: none",
    "simpleValueType": true
  },
  {
    "type": "CHECKBOX",
    "name": "consent",
    "checkboxText": "The consent banner runs inside Tag Manager and sets a default for all four consent types",
    "simpleValueType": true
  }
]


___SANDBOXED_JS_FOR_WEB_TEMPLATE___

const addConsentListener = require('addConsentListener');
const callInWindow = require('callInWindow');
const copyFromWindow = require('copyFromWindow');
const createArgumentsQueue = require('createArgumentsQueue');
const encodeUriComponent = require('encodeUriComponent');
const injectScript = require('injectScript');
const isConsentGranted = require('isConsentGranted');
const templateStorage = require('templateStorage');

const TYPES = ['ad_storage', 'ad_user_data', 'ad_personalization', 'analytics_storage'];

// The function that keeps commands until the snippet is there. Once it is, the name is the snippet's.
if (!copyFromWindow('cg')) createArgumentsQueue('cg', 'cg.q');

// A banner that runs inside Tag Manager leaves no trace in the data layer, where the snippet looks. A type without a
// default counts as granted here, which would be consent that nobody gave: hence the box to tick. What holds at first is
// a default, and no answer: the banner may be about to restore what its visitor has said.
if (data.consent && !templateStorage.getItem('listening')) {
  templateStorage.setItem('listening', true);
  const told = {};
  TYPES.forEach(function (type) {
    told[type] = isConsentGranted(type) ? 'granted' : 'denied';
    addConsentListener(type, function (changed, granted) {
      const change = {};
      change[changed] = granted ? 'granted' : 'denied';
      callInWindow('cg', 'consent', change);
    });
  });
  callInWindow('cg', 'consent', told, true);
}

if (data.event) {
  const more = {};
  if (data.eventId) more.event_id = data.eventId;
  if (data.userData) more.user_data = data.userData;
  callInWindow('cg', 'track', data.event, data.customData || {}, more);
}

const base = data.gateway + (data.gateway.slice(-1) === '/' ? '' : '/');
const query = '?key=' + encodeUriComponent(data.key) + (data.mirror ? '&mirror=' + encodeUriComponent(data.mirror) : '');
injectScript(base + 'collect.js' + query, data.gtmOnSuccess, data.gtmOnFailure, 'conversions gateway');


___WEB_PERMISSIONS___

[
  {
    "instance": {
      "key": { "publicId": "access_globals", "versionId": "1" },
      "param": [
        {
          "key": "keys",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "key" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" },
                  { "type": 1, "string": "execute" }
                ],
                "mapValue": [
                  { "type": 1, "string": "cg" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "key" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" },
                  { "type": 1, "string": "execute" }
                ],
                "mapValue": [
                  { "type": 1, "string": "cg.q" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  },
  {
    "instance": {
      "key": { "publicId": "access_consent", "versionId": "1" },
      "param": [
        {
          "key": "consentTypes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "consentType" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" }
                ],
                "mapValue": [
                  { "type": 1, "string": "ad_storage" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "consentType" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" }
                ],
                "mapValue": [
                  { "type": 1, "string": "ad_user_data" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "consentType" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" }
                ],
                "mapValue": [
                  { "type": 1, "string": "ad_personalization" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "consentType" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" }
                ],
                "mapValue": [
                  { "type": 1, "string": "analytics_storage" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  },
  {
    "instance": {
      "key": { "publicId": "access_template_storage", "versionId": "1" },
      "param": []
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": { "publicId": "inject_script", "versionId": "1" },
      "param": [
        {
          "key": "urls",
          "value": { "type": 2, "listItem": [{ "type": 1, "string": "https://*/collect.js*" }] }
        }
      ]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  }
]


___TESTS___

scenarios: []


___NOTES___

Loads collect.js of a self-hosted conversions gateway. See docs/doors/browser.md.
