/*
 * The browser snippet. `GET /collect.js` serves collect.min.js, which is made of this file: after a change run
 * `python -m gateway.web.snippet`. docs/doors/browser.md tells site owners what it does.
 *
 * It decides nothing about consent: it hands on what the page says, and keeps something on the device only once the
 * gateway has answered that this visitor allows it. It never throws into the page and leaves one global behind. What is
 * served has at most 3072 bytes when gzipped: that is why some names are short, and why the gateway does what it can.
 */
(() => {
  const script = document.currentScript;
  if (!script?.src) return;

  const src = new URL(script.src);
  const option = (name) => script.dataset[name] || src.searchParams.get(name) || '';
  const prefix = 'cg.';
  const stub = window.cg;
  if (stub?.on) return;

  // Milliseconds: a little less than the gateway's dedup_window, within which a second copy of an event is recognised.
  const WEEK = 6e8;
  // Milliseconds without an event after which nothing of a visitor is known any more.
  const KEPT = 7776e6;
  // Most events in one request, and most that wait to be sent.
  const STEP = 10, MOST = 60;
  // What may hold a click or browser id. The gateway looks closer.
  const CLICKS = /[^?&]*(c(c|lk?)id|rdt_cid|braid|gad_\w+|epik|fat_id)=[^&]+/gi;
  const COOKIES = /(^| )(_(fb|tt|epik|pin|sc|rdt|uet|gcl|gac)|FPGCL|\w+clid|li_fat)[^;]+/g;

  // What pixels call an event where it is not its name in their spelling.
  const PINTEREST = { Purchase: 'checkout', PageView: 'pagevisit', CompleteRegistration: 'signup' };
  const SNAP = {
    AddToCart: 'ADD_CART', InitiateCheckout: 'START_CHECKOUT', AddPaymentInfo: 'ADD_BILLING',
    CompleteRegistration: 'SIGN_UP', Lead: 'SIGN_UP', Schedule: 'RESERVE',
  };
  const GOOGLE = {
    ViewContent: 'view_item', InitiateCheckout: 'begin_checkout', CompleteRegistration: 'sign_up', Lead: 'generate_lead',
  };

  // Consent as Consent Mode has it: its defaults, those for some regions, what came after them; and what the two
  // interfaces of the IAB gave.
  const defaults = {}, regional = {}, said = {}, strings = {};
  // `asks`: there were defaults. `heard`: one of the interfaces had an answer. `closed`: by the TCF, nothing may be
  // kept on the device.
  let tcf, gpp, layer, last, asks, heard, closed;
  // Events that nobody has confirmed; those skipped for want of consent, which may come yet while the page is open.
  // Of each: `k` its key, `e` the event, `c` what was said of consent on an earlier page, `u` user_data (in memory
  // only), `p` the pixels are to be told, `f` in a request, `b` gone with a beacon.
  let queue = [], skipped = [];
  // Of the visit: `v` the visitor's id, `l` the click ids that it came with, `a` its last event. It is kept on the device
  // once it has `f`, what was denied when the gateway allowed that.
  // `lean`: cookies are left out.
  let held, visit = {}, user, revoked, lean, at = [], back, until, fails = 0, step = STEP;
  let referrer = document.referrer;

  const now = Date.now;
  const random = () => now().toString(36) + Math.random().toString(36).slice(2);
  const safe = (run) => (...given) => {
    try {
      return run(...given);
    } catch (error) {
      console.warn(error);
    }
  };
  // It may be forbidden, or full.
  const storage = (use) => safe(() => use(localStorage))();
  const listen = (event, run) => addEventListener(event, safe(run));
  const url = (path) => new URL('v1/' + path, option('url') || src);
  const post = (path, body, omit) =>
    fetch(url(path), { method: 'POST', body, keepalive: body.length < 6e4, credentials: omit ? 'omit' : 'include' });

  // --- consent

  const consent = () => {
    // a TC string is the visitor's answer: no default stands for them any more
    const given = {
      region: option('region'), ...(!strings.tcf && { ...defaults, ...regional }), gpc: navigator.globalPrivacyControl,
      ...said, ...strings,
    };
    for (const key in given) given[key] || delete given[key];
    return given;
  };
  // What is denied, each as it stands in JSON.
  const denied = () => JSON.stringify(consent()).match(/"(ad_\w+":"denied|gpc":true)/g) || [];
  // Whether more than ad_personalization is, which leaves ids and cookies alone: only its name has neither letter.
  const barred = () => closed || /[gu]/.test(denied());
  // Whether the visitor has answered, rather than that a default stands for them.
  const answered = () =>
    said.ad_storage || said.ad_user_data || consent().gpc || strings.tcf || (heard && !asks);

  const put = (into, key, value) => {
    // what says nothing leaves what was said
    value = (key !== 'gpc' && { true: 'granted', false: 'denied' }[value]) || value;
    if (value) into[key] = value;
  };

  // An entry of the data layer: gtag('consent', 'default' or 'update', {…}).
  const hear = (entry) => {
    if (entry?.[0] !== 'consent') return;
    const { region, ...flags } = entry[2];
    const mine = (consent().region || '').toUpperCase();
    asks = 1;
    for (const flag in flags) {
      const value = flags[flag];
      if (!/^a/.test(flag)) continue; // ad_…, analytics_storage
      if (entry[1] === 'update') put(said, flag, value);
      else if (!region) put(defaults, flag, value);
      // for some regions only: a denial counts where it may be the visitor's too, and is stronger
      else if (
        regional[flag] !== 'denied' &&
        [].concat(region).some((one) => mine.startsWith(one) || (value === 'denied' && one.startsWith(mine)))
      ) put(regional, flag, value);
    }
  };

  const tell = (key, value) => {
    heard = 1;
    // one that changes while the page is open may hold a denial: the gateway reads it
    if (strings[key] && strings[key] !== value) revoked = 1;
    strings[key] = value;
  };

  const look = () => {
    const { dataLayer, __tcfapi, __gpp } = window;
    if (dataLayer !== layer) {
      layer = dataLayer;
      const push = layer.push;
      layer.forEach(safe(hear));
      layer.push = (...more) => {
        more.forEach(safe(hear));
        return push.apply(dataLayer, more);
      };
    }
    if (!tcf && __tcfapi) {
      tcf = 1;
      __tcfapi('addEventListener', 2, safe(({ eventStatus, gdprApplies, tcString, addtlConsent, purpose }) => {
        if (!/^[tu]/.test(eventStatus)) return; // tcloaded, useractioncomplete
        tell('tcf', gdprApplies !== false && tcString);
        strings.additional_consent = strings.tcf && addtlConsent;
        closed = strings.tcf && !purpose.consents[1];
      }));
    }
    if (!gpp && __gpp) {
      gpp = 1;
      __gpp('addEventListener', safe(({ pingData: { signalStatus, gppString, applicableSections } }) => {
        if (signalStatus !== 'ready') return;
        tell('gpp', gppString);
        strings.gpp_sid = gppString && applicableSections;
      }));
    }
  };

  // Where the visitor is now, and what they say; once it is another thing, what was skipped may go.
  const ask = () => {
    moved();
    look();
    const text = JSON.stringify(consent());
    if (text !== last && !barred()) queue.push(...skipped.splice(0));
    last = text;
    if (visit.f && (revoked || closed || (answered() && denied().some((key) => !visit.f.includes(key))))) revoke();
  };

  // All there is to do, twice a second and after each event.
  const tick = safe(() => {
    ask();
    const batch = queue.filter((entry) => !entry.f).slice(0, step);
    if (!batch[0] || now() < until || (now() < held && !answered())) return;
    batch.forEach((entry) => {
      entry.f = 1;
      if (entry.p && !barred()) entry.p = mirror(entry.e);
    });
    send(batch);
  });

  // --- on the device

  const save = (entry) => storage((box) => {
    if (!visit.f || barred()) return;
    box[prefix] = JSON.stringify(visit);
    if (entry) box[entry.k] = JSON.stringify({ e: entry.e, c: consent() });
  });
  const keys = (box) => Object.keys(box).filter((key) => key.startsWith(prefix));

  // --- events

  const track = (event_name, data, options, done) => {
    const custom_data = data || {}, { user_data, mirror, context, ...more } = options || {};
    const id = more.event_id || (event_name === 'Purchase' && custom_data.order_id) || random();
    visit.a = now();
    // a copy: the page may go on with its objects; what JSON cannot hold is its own fault alone
    const entry = JSON.parse(JSON.stringify({
      k: prefix + event_name + '.' + id,
      u: { ...user, ...user_data },
      p: event_name && mirror !== false,
      e: {
        event_name,
        event_time: now() / 1e3,
        event_source_url: location.href,
        referrer_url: referrer,
        ...more,
        event_id: id,
        custom_data,
        context: {
          cart_token: /(^| )cart=([\w-]+)/.exec(document.cookie)?.[2],
          ...context,
        },
      },
    }));
    queue.push(entry);
    save(entry);
    setTimeout(tick);
    done?.(id);
    return id;
  };

  // The page is another one: it was loaded, or went on by itself. Replacing the query alone is how pages tidy their
  // address.
  const moved = () => {
    const { pathname, search, hash, href } = location, { length } = history;
    const place = pathname + (/^#[!/]/.test(hash) ? hash : '');
    const [before, query, from, steps] = at;
    at = [place, search, href, length];
    if (place !== before || (search !== query && (back || length !== steps))) {
      referrer = from || referrer;
      const clicks = search.match(CLICKS);
      if (clicks) visit.l = { query: clicks.join('&'), at: now() };
      if (option('page') !== 'off') track('PageView');
    }
  };

  // --- sending

  const body = (entries) =>
    JSON.stringify({
      key: option('key'),
      sent_at: now(),
      pending: !answered(),
      ...(barred() || {
        cookies: (document.cookie.match(COOKIES) || []).join(';'),
        landing: visit.l,
      }),
      events: entries.map(({ e, u, c }) => ({
        ...e,
        user_data: { anonymous_id: barred() ? undefined : visit.v, ...u },
        consent: { ...c, ...consent(), ...e.consent },
      })),
    });

  const send = async (batch) => {
    until = now() + Math.min(6e4, 1e3 * 2 ** fails++) * (0.5 + Math.random());
    try {
      const response = await post('collect', body(batch), lean);
      const answer = await response.json().catch(() => 0);
      // what is no good by itself (400, 413, 415) is not sent again
      if (answer.results || (/^4(00|1[35])/.test(response.status) && !batch[1])) return settle(batch, answer);
      console.warn(answer);
      until += response.headers.get('retry-after') * 1e3 || 0;
    } catch {
      lean = !lean; // where any page may post, a browser hides the answer to a request that has cookies
    }
    // one by one then, and others first: one of them may be the cause
    step = 1;
    batch.forEach((entry) => (entry.f = 0));
    queue = [...queue.filter((entry) => !batch.includes(entry)), ...batch].slice(-MOST);
  };

  const settle = (batch, { results = [], visitor }) => {
    fails = until = 0;
    step = STEP;
    queue = queue.filter((entry) => !batch.includes(entry));
    batch.forEach((entry, index) => {
      storage((box) => delete box[entry.k]);
      const result = JSON.stringify(results[index]);
      // of a duplicate nobody says what it came to: the page may have been loaded twice before the answer
      if (/:consent|duplicate/.test(result)) skipped.push({ ...entry, f: 0, b: 0 });
      if (/rejected/.test(result)) console.warn(result);
    });
    if (visitor?.cookies) lean = 0;
    if (visitor && !barred()) {
      if (visitor.storage === 'granted') {
        visit.v = visitor.anonymous_id || visit.v;
        visit.f = denied();
        revoked = 0;
        save();
        queue.forEach(save);
      } else revoked |= visitor.storage === 'denied';
    }
  };

  // Consent was taken back: what waits is stopped, the gateway's cookies go, and so does what is kept here.
  const revoke = async () => {
    visit.f = 0;
    const { status } = await post(
      'consent', JSON.stringify({ key: option('key'), user_data: { anonymous_id: visit.v }, consent: consent() }),
      visit.v, // no cookie is asked for where there is none
    ).catch(() => 0);
    if (/200|422/.test(status)) {
      revoked = 0;
      visit = {};
      storage((box) => keys(box).forEach((key) => delete box[key]));
    } else setTimeout(() => (visit.f = []), 3e4);
  };

  // The page goes, and what nobody has confirmed goes with it, in requests that outlive it.
  const leave = () => {
    ask();
    const rest = queue.filter((entry) => !entry.b);
    while (rest[0]) beam(rest.splice(0, STEP));
  };

  // A browser takes 64 KiB at most: what is more goes in parts.
  const beam = (part) => {
    part.forEach((entry) => (entry.b = 1));
    if (!navigator.sendBeacon(url('collect'), body(part)) && part[1]) part.forEach((entry) => beam([entry]));
  };

  // --- the platforms' own pixels, as far as the page asks for it and has them

  const mirror = ({ event_name: event, event_id, custom_data: data }) => {
    const call = safe((pixel, ...given) => {
      const run = option('mirror').includes(pixel) && window[pixel];
      if (run) run.track ? run.track(...given) : run(...given);
    });
    const snake = event.replace(/\B[A-Z]/g, '_$&');
    const standard = /^(Add[PT]|C(omp|ont|us)|Don|Find|Ini|Lead|P[au]|S[ceut]|ViewCo)/.test(event);
    if (standard) {
      call('fbq', 'track', event, data, { eventID: event_id });
      call('snaptr', 'track', SNAP[event] || snake.toUpperCase(), {
        ...data,
        client_dedup_id: event_id,
        transaction_id: data.order_id,
        price: data.value,
      });
    }
    call('pintrk', 'track', PINTEREST[event] || event.toLowerCase(), { ...data, event_id });
    if (event === 'PageView') return; // their base code counts pages itself
    call('ttq', event, data, { event_id });
    call('gtag', 'event', GOOGLE[event] || snake.toLowerCase(), { ...data, transaction_id: event_id });
  };

  // --- the page's commands

  const commands = {
    track,
    identify: (data) => (user = data && { ...user, ...data }),
    // `standing`: for as long as the visitor has not answered
    consent: (given, standing) => {
      asks |= standing;
      for (const key in given) put(standing ? defaults : said, key, given[key]);
    },
  };

  const start = safe(() => {
    held = now() + +(option('wait') || 2e3);
    storage((box) => keys(box).forEach(safe((k) => {
      const item = JSON.parse(box[k]);
      const { e, a } = item;
      if (now() - (e ? e.event_time * 1e3 : a) > (e ? WEEK : KEPT)) delete box[k];
      else if (e) queue.push({ k, ...item });
      else visit = item;
    })));
    const command = (window.cg = safe((what, ...given) => commands[what](...given)));
    command.on = 1;
    stub?.q?.forEach((given) => command(...given));
    moved();
    setInterval(tick, 500);
    // another tab has heard a no
    listen('storage', (event) => event.key === prefix && !event.newValue && (visit = {}));
    listen('popstate', () => (back = 1)); // the number of steps says nothing any more
    listen('online', () => (fails = until = 0));
    listen('visibilitychange', () => document.hidden && leave());
  });

  if (document.prerendering) document.addEventListener('prerenderingchange', start);
  else start();
})();
