// Consent strings made by the IAB's reference encoders, with what its decoders read in them.
//
//   node strings.mjs make SEED COUNT    one JSON object a line: {kind, text, read}
//   node strings.mjs read               the same for {kind, text} lines from standard input; read is null where it refuses
import { createInterface } from "node:readline";

import * as gpp from "@iabgpp/cmpapi";
import { GVL, PurposeRestriction, TCModel, TCString } from "@iabtechlabtcf/core";

const STATES = "UsCa UsVa UsCo UsUt UsCt UsFl UsMt UsOr UsTx UsDe UsIa UsNe UsNh UsNj UsTn UsMn UsMd UsIn UsKy UsRi".split(" ");
const HIGHEST = 1200;

// Random numbers from a seed: mulberry32.
let state = 0;
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
};
const below = (limit) => Math.floor(random() * limit);
const one = (list) => list[below(list.length)];
const chance = (probability) => random() < probability;
const some = (numbers, probability) => numbers.filter(() => chance(probability));
const upTo = (last) => Array.from({ length: last }, (_, at) => at + 1);

const numbered = (last, more) => Object.fromEntries(upTo(last).map((id) => [id, { id, name: `${id}`, ...more }]));
const LIST = new GVL({
  gvlSpecificationVersion: 3,
  vendorListVersion: 45,
  tcfPolicyVersion: 4,
  lastUpdated: "2026-01-01T00:00:00Z",
  purposes: numbered(11),
  specialPurposes: numbered(3),
  features: numbered(3),
  specialFeatures: numbered(2),
  stacks: {},
  vendors: numbered(HIGHEST, {
    purposes: upTo(11), legIntPurposes: [], flexiblePurposes: [2, 7, 8, 9, 10, 11],
    specialPurposes: [1], features: [1], specialFeatures: [1],
  }),
});

function madeTcf() {
  const model = new TCModel(LIST);
  const made = Date.UTC(2023, 8, 1) + below(1200) * 86400000;
  model.cmpId = 2 + below(400);
  model.cmpVersion = 1 + below(50);
  model.consentScreen = below(10);
  model.consentLanguage = one(["EN", "DE", "FR", "PT"]);
  model.publisherCountryCode = one(["DE", "GB", "FR", "AA"]);
  model.isServiceSpecific = chance(0.9);
  model.useNonStandardTexts = chance(0.3);
  model.purposeOneTreatment = chance(0.1);
  model.purposeConsents.set(some(upTo(24), one([0.1, 0.6, 0.95])));
  model.purposeLegitimateInterests.set(some([2, 7, 8, 9, 10, 11], 0.5));
  model.specialFeatureOptins.set(some([1, 2], 0.5));
  const most = one([3, 60, 800, HIGHEST]);
  model.vendorConsents.set(some(upTo(most), one([0.01, 0.5, 0.99])));
  model.vendorLegitimateInterests.set(some(upTo(most), one([0.01, 0.5])));
  if (chance(0.8)) model.vendorsDisclosed.set(some(upTo(most), one([0.01, 0.5, 1.0])));
  if (model.isServiceSpecific && chance(0.4)) {
    for (const vendor of some(upTo(20), 0.4)) {
      model.publisherRestrictions.add(vendor, new PurposeRestriction(1 + below(11), one([0, 1, 2])));
    }
  }
  if (chance(0.3)) model.publisherConsents.set(some(upTo(24), 0.5));
  model.created = model.lastUpdated = new Date(made);
  return TCString.encode(model, { isForSaving: chance(0.8) });
}

function readTcf(text) {
  const model = TCString.decode(text);
  const ids = (vector) => { const found = []; vector.forEach((on, id) => { if (on) found.push(id); }); return found; };
  const restrictions = model.publisherRestrictions.getRestrictions().map((found) => ({
    purpose: found.purposeId, kind: found.restrictionType,
    vendors: [...model.publisherRestrictions.getVendors(found)],
  }));
  return {
    created: Math.floor(model.created.getTime() / 1000), updated: Math.floor(model.lastUpdated.getTime() / 1000),
    cmp: model.cmpId, policy: Number(model.policyVersion), service_specific: model.isServiceSpecific,
    purposes: ids(model.purposeConsents), vendors: ids(model.vendorConsents),
    disclosed: text.split(".").slice(1).some((part) => "IJKLMNOP".includes(part[0])) ? ids(model.vendorsDisclosed) : null,
    restrictions,
  };
}

const settable = (model, section, field) => {
  const value = model.getFieldValue(section, field);
  if (field === "Version" || field === "MspaVersion" || field === "GpcSegmentType") return value;
  if (Array.isArray(value)) return value.map(() => below(3));
  if (typeof value === "boolean") return chance(0.6);
  return field === "MspaCoveredTransaction" ? 1 + below(2) : below(3);
};

function madeGpp() {
  const model = new gpp.GppModel();
  for (const name of some(["UsNat", ...STATES], one([0.05, 0.2]))) {
    const section = gpp[name].NAME;
    for (const field of Object.values(gpp[name + "Field"])) {
      if (field === "Version" && name === "UsNat" && chance(0.3)) {
        model.setFieldValue(section, field, 1);
        continue;
      }
      if (!model.hasSection(section)) {
        // the first field that is set makes the section
        const first = Object.values(gpp[name + "Field"]).find((other) => other === "SaleOptOut");
        model.setFieldValue(section, first, below(3));
      }
      model.setFieldValue(section, field, settable(model, section, field));
    }
  }
  if (chance(0.3)) {
    const said = () => one(["Y", "N", "-"]);
    model.setFieldValue("uspv1", "Version", 1);
    model.setFieldValue("uspv1", "Notice", said());
    model.setFieldValue("uspv1", "OptOutSale", said());
    model.setFieldValue("uspv1", "LspaCovered", said());
  }
  if (chance(0.2)) {
    model.setFieldValue("tcfeuv2", "CmpId", 2 + below(400));
    model.setFieldValue("tcfeuv2", "PurposeConsents", upTo(24).map(() => chance(0.5)));
    model.setFieldValue("tcfeuv2", "VendorConsents", some(upTo(60), 0.4));
    model.setFieldValue("tcfeuv2", "VendorListVersion", 45);
    model.setFieldValue("tcfeuv2", "PolicyVersion", 4);
    model.setFieldValue("tcfeuv2", "IsServiceSpecific", true);
    model.setFieldValue("tcfeuv2", "VendorsDisclosed", some(upTo(60), 0.4));
  }
  return model.encode();
}

function readGpp(text) {
  const model = new gpp.GppModel(text);
  const read = {};
  const bodies = text.split("~").slice(1);
  for (const [at, id] of model.getSectionIds().entries()) {
    const name = Object.values(gpp).find((found) => found?.ID === id).NAME;
    const value = (field) => (model.hasField(name, field) ? model.getFieldValue(name, field) : undefined);
    if (id === 2) {
      read[id] = {
        cmp: value("CmpId"), purposes: upTo(24).filter((at) => value("PurposeConsents")[at - 1]),
        vendors: value("VendorConsents"),
      };
    } else if (id === 6) {
      read[id] = { opt_outs: [value("OptOutSale") === "Y" ? 1 : 2], gpc: null, children: [] };
    } else {
      const opt_outs = ["SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut"].map(value).filter((v) => v !== undefined);
      const children = value("KnownChildSensitiveDataConsents");
      read[id] = {
        opt_outs, children: children === undefined ? [] : [children].flat(),
        gpc: value("Gpc") === undefined ? null : bodies[at].includes(".") ? value("Gpc") : "absent",
      };
    }
  }
  return read;
}

const READERS = { tcf: readTcf, gpp: readGpp };
const quietly = (kind, text) => { try { return READERS[kind](text); } catch { return null; } };
const say = (found) => process.stdout.write(JSON.stringify(found) + "\n");

const [command, seed, count] = process.argv.slice(2);
if (command === "make") {
  state = Number(seed);
  for (let number = 0; number < Number(count); number++) {
    const kind = number % 2 ? "gpp" : "tcf";
    const text = kind === "tcf" ? madeTcf() : madeGpp();
    say({ kind, text, read: READERS[kind](text) });
  }
} else {
  for await (const line of createInterface({ input: process.stdin })) {
    const { kind, text } = JSON.parse(line);
    say({ kind, text, read: quietly(kind, text) });
  }
}
