"use strict";
// The admin page. Everything that comes from clients is shown as text: elements are made one by one, with `textContent`.
(() => {
  const at = (id) => document.getElementById(id);

  // Elements.

  const add = (parent, children) => {
    for (const child of children.flat(Infinity)) {
      if (child !== null && child !== undefined && child !== false) parent.append(child instanceof Node ? child : String(child));
    }
    return parent;
  };
  const el = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (typeof value === "function") made.addEventListener(key, value);
      else if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    return add(made, children);
  };
  const button = (text, look, click) => el("button", { type: "button", class: look, click }, text);
  const section = (title, actions, ...inside) => el("section", { class: "card section" },
    el("div", { class: "head" }, el("h2", {}, title), actions?.length ? el("div", { class: "buttons" }, actions) : null), inside);
  const heading = (text) => el("h1", { tabindex: "-1" }, text);

  /** `columns`: [{ name, cell(row), kind }]. On a phone each row is a card, so the roles are said. */
  const table = (caption, columns, rows, empty) => {
    if (!rows.length) return el("p", { class: "empty" }, empty);
    const shown = el("table", { class: "cards", role: "table" }, el("caption", {}, caption));
    const heads = columns.map(({ name, kind }) => el("th", { scope: "col", role: "columnheader", class: kind }, name));
    shown.append(el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)));
    const lines = rows.map((row) => el("tr", { role: "row" }, columns.map(({ name, kind, cell }) =>
      el("td", { role: "cell", class: kind, "data-label": name }, cell(row)))));
    shown.append(el("tbody", { role: "rowgroup" }, lines));
    return shown;
  };

  // Texts.

  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const number = (value, isShort) => (isShort && value >= 10000 ? compact : value < 10 && !Number.isInteger(value) ? tenth : whole).format(value);
  const bytes = (value) => {
    let unit = 0;
    while (value >= 1024 && unit < 4) { value /= 1024; unit += 1; }
    return `${unit && value < 100 ? tenth.format(value) : whole.format(value)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
  };
  const span = (seconds) => {
    const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
    if (days) return `${days} d ${hours} h`;
    if (hours) return `${hours} h ${minutes} min`;
    return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
  };
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const date = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const time = (ms) => {
    const moment = new Date(ms);
    const text = (new Date().toDateString() === moment.toDateString() ? clock : date).format(moment);
    return el("time", { datetime: moment.toISOString(), title: date.format(moment) }, text);
  };
  const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
  const who = (user) => (user ? user : el("span", { class: "faint" }, "anonymous"));
  const channelLink = (name) => el("a", { class: "mono", href: `#/channel/${encodeURIComponent(name)}` }, name);
  const clientLink = (id) => el("a", { class: "mono", href: `#/client/${encodeURIComponent(id)}` }, id);
  const names = {
    websocket: "WebSocket", sse: "SSE", http_stream: "HTTP stream", stream: "TCP stream", uni_websocket: "WebSocket, one-way",
    uni_sse: "SSE, one-way", uni_http_stream: "HTTP stream, one-way", events: "EventSource",
  };
  const formats = { json: "JSON", protobuf: "Protobuf" };
  const transport = (own) => `${names[own.transport] ?? own.transport} · ${formats[own.format] ?? own.format}`;

  // Requests.

  class Refused extends Error {
    constructor(status, text) { super(text.charAt(0).toUpperCase() + text.slice(1)); this.status = status; }
  }
  const request = async (path, body) => {
    const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    let response;
    try {
      response = await fetch(path, { ...options, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(10000) });
    } catch {
      throw new Refused(0, "The server does not answer.");
    }
    if (!response.ok) {
      const text = (await response.text()).trim();
      const wait = response.headers.get("Retry-After");
      const refused = new Refused(response.status, text || `The server answers with status ${response.status}.`);
      refused.wait = wait ? Number(wait) : 0;
      throw refused;
    }
    return response.status === 204 ? null : response.json();
  };
  const ask = async (path, body) => {
    try {
      return await request(path, body);
    } catch (error) {
      if (error.status === 401) logIn("Your session has ended. Log in again.");
      throw error;
    }
  };
  /** Calls a method of the server API. */
  const call = async (method, parameters) => {
    const answer = await ask(`/admin/api/call/${method}`, parameters);
    if (answer.error) throw new Refused(200, `${answer.error.message} (${answer.error.code})`);
    return answer.result;
  };

  let saying;
  const say = (text, isBad = false) => {
    const said = at("said");
    said.className = isBad ? "said bad" : "said";
    said.textContent = text;
    clearTimeout(saying);
    saying = setTimeout(() => { said.textContent = ""; }, isBad ? 8000 : 4000);
  };

  /** Asks whether something is meant. Gives `null`, or whether the option was chosen. */
  const sure = (title, text, yes, option) => new Promise((resolve) => {
    const dialog = at("ask");
    at("ask-title").textContent = title;
    at("ask-text").textContent = text;
    at("ask-yes").textContent = yes;
    at("ask-option").hidden = !option;
    at("ask-label").textContent = option ?? "";
    at("ask-check").checked = false;
    dialog.returnValue = "no";
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? { option: at("ask-check").checked } : null);
    dialog.showModal();
  });

  /** Does something that may fail, and says what came of it. */
  const attempt = async (what, done) => {
    try {
      const result = await what();
      say(typeof done === "function" ? done(result) : done);
      return true;
    } catch (error) {
      say(error.message, true);
      return false;
    }
  };

  const disconnect = async (target, title) => {
    const meant = await sure(title, "It is told why, and its SDK does not connect again by itself.", "Disconnect", "Let it connect again at once");
    if (!meant) return;
    const why = meant.option ? { code: 3011, reason: "force reconnect" } : { code: 3503, reason: "force disconnect" };
    if (await attempt(() => call("disconnect", { ...target, disconnect: why }), "Disconnected.")) setTimeout(show, 300);
  };
  const unsubscribe = async (channel, client, user) => {
    const text = `The client ${client} of ${user || "an anonymous user"} gets nothing from ${channel} any more.`;
    if (!await sure("End this subscription?", text, "Unsubscribe")) return;
    if (await attempt(() => call("unsubscribe", { channel, client }), "Unsubscribed.")) setTimeout(show, 300);
  };

  // What runs.

  const live = { node: "", number: 0, points: [], last: null, failures: 0, timer: 0 };
  const rate = (points, point, place, key) => {
    const before = points[place - 1];
    if (!before || point.at <= before.at) return null;
    return Math.max(0, point[key] - before[key]) * 1000 / (point.at - before.at);
  };
  const take = (answer) => {
    if (answer.node !== live.node) Object.assign(live, { node: answer.node, points: [] });
    const fresh = answer.samples.map(([at, clients, subscriptions, channels, published, delivered, publishedBytes, deliveredBytes, resident, history]) =>
      ({ at, clients, subscriptions, channels, published, delivered, publishedBytes, deliveredBytes, resident: resident || null, history }));
    const points = live.points.concat(fresh).slice(-301);
    points.forEach((point, place) => {
      if (point.in !== undefined && point.in !== null) return;
      point.in = rate(points, point, place, "published");
      point.out = rate(points, point, place, "delivered");
      point.outBytes = rate(points, point, place, "deliveredBytes");
    });
    Object.assign(live, { number: answer.number, points, last: answer });
  };
  const state = (look, text) => {
    const shown = at("state");
    if (shown.textContent !== text) shown.textContent = text;
    shown.className = `state ${look}`;
  };
  const poll = async () => {
    clearTimeout(live.timer);
    if (document.hidden || at("app").hidden) return;
    try {
      take(await ask(`/admin/api/live?after=${live.node ? live.number : 0}`));
      live.failures = 0;
      state("live", "live");
      at("about").textContent = `gannet ${live.last.version} · node ${live.last.node} · up ${span(live.last.uptime_s)}`;
      if (view.name === "overview") view.update?.();
    } catch (error) {
      if (error.status === 401) return;
      live.failures += 1;
      state("lost", "no answer, trying again");
    }
    clearTimeout(live.timer);
    live.timer = setTimeout(poll, live.failures ? Math.min(8000, 1000 * 2 ** live.failures) : 1000);
  };

  // Views: each makes its elements, and may give a function that is called with new figures.

  let view = { name: "" };

  const overview = (main) => {
    const tile = (name) => {
      const value = el("dd", { class: "value" }, "–"), note = el("dd", { class: "note" });
      return { shown: el("dl", { class: "card tile" }, el("dt", {}, name), value, note), value, note };
    };
    const put = ({ value, note }, text, more = "") => { value.textContent = text; note.textContent = more; };
    const tiles = ["Clients", "Subscriptions", "Channels", "Published", "Delivered", "Memory"].map(tile);
    const [clients, subscriptions, channels, published, delivered, memory] = tiles;
    const figures = [1, 2, 3].map(() => el("figure"));
    const perSecond = (value, isMark) => (isMark ? number(value, true) : `${number(value)}/s`);
    const plots = [
      new Plot(figures[0], { title: "Messages per second", write: perSecond,
        series: [{ name: "delivered", pick: (point) => point.out }, { name: "published", pick: (point) => point.in }] }),
      new Plot(figures[1], { title: "Clients", write: number, series: [{ name: "connected", pick: (point) => point.clients }] }),
      new Plot(figures[2], { title: "Memory", write: bytes, isBytes: true,
        series: [{ name: "resident", pick: (point) => point.resident }, { name: "histories", pick: (point) => point.history }] }),
    ];
    const transports = el("div"), namespaces = el("div"), codes = el("div");
    add(main, [
      el("h1", { class: "unseen", tabindex: "-1" }, "Overview"),
      el("div", { class: "tiles" }, tiles.map((own) => own.shown)),
      el("div", { class: "plots" }, figures),
      el("div", { class: "columns" }, section("Transports", [], transports), section("Ended and refused", [], codes)),
      section("Namespaces", [], namespaces),
    ]);
    let before = "";
    return () => {
      const { last, points } = live;
      if (!last) return;
      const now = points.at(-1);
      if (now) {
        put(clients, number(now.clients), plural(last.users, "user"));
        put(subscriptions, number(now.subscriptions), now.clients ? `${tenth.format(now.subscriptions / now.clients)} a client` : "");
        put(channels, number(now.channels), last.history.bytes ? `${bytes(last.history.bytes)} of history` : "no history");
        put(published, now.in === null ? "–" : `${number(now.in)}/s`, `${number(now.published, true)} in all`);
        put(delivered, now.out === null ? "–" : `${number(now.out)}/s`, now.outBytes === null ? "" : `${bytes(now.outBytes)}/s of data`);
        put(memory, now.resident ? bytes(now.resident) : "–", "resident");
      }
      plots.forEach((plot) => plot.show(points));
      const key = JSON.stringify([last.transports, last.namespaces, last.errors, last.disconnects, last.inbox]);
      if (key === before) return;
      before = key;
      const count = (name, pick) => ({ name, kind: "number", cell: (own) => number(pick(own)) });
      transports.replaceChildren(table("Clients by transport", [
        { name: "Transport", kind: "lead", cell: transport }, count("Clients", (own) => own.clients),
      ], last.transports, "Nobody is connected."));
      const ends = [
        ...last.disconnects.map(([code, times]) => ({ what: `Disconnected by the server, ${code}`, times })),
        ...last.errors.map(([code, times]) => ({ what: code ? `Command refused, ${code}` : "Command refused, other", times })),
        ...(last.inbox.lost ? [{ what: "Deliveries lost: a reactor was too far behind", times: last.inbox.lost }] : []),
      ];
      codes.replaceChildren(table("Ended sessions and refused commands since the start", [
        { name: "What", kind: "lead", cell: (own) => own.what }, count("Times", (own) => own.times),
      ], ends, "None since the start."));
      namespaces.replaceChildren(table("Namespaces", [
        { name: "Namespace", kind: "lead", cell: (own) => own.name || el("span", { class: "faint" }, "channels without one") },
        count("Channels", (own) => own.channels), count("Subscriptions", (own) => own.subscriptions),
        count("Published", (own) => own.publications), count("Delivered", (own) => own.deliveries),
        count("Recovered", (own) => own.recovered), count("Dropped", (own) => own.dropped), count("Gaps", (own) => own.gaps),
      ], last.namespaces, "No namespace is configured, so there are no channels."));
    };
  };

  /** A list that is searched: shows what the last text has found. */
  const searching = (main, title, hint, initial, route, find) => {
    const input = el("input", { id: "q", type: "search", value: initial, placeholder: hint, autocomplete: "off", spellcheck: "false", maxlength: "255", "aria-label": hint });
    const results = el("div", { "aria-busy": "true" });
    const summary = el("p", { class: "faint small", role: "status" });
    let asked = 0, timer;
    const run = async () => {
      const mine = asked += 1, query = input.value.trim();
      history.replaceState(null, "", query ? `#/${route}?q=${encodeURIComponent(query)}` : `#/${route}`);
      results.setAttribute("aria-busy", "true");
      try {
        const [shown, text] = await find(query);
        if (mine !== asked) return;
        results.replaceChildren(shown);
        summary.textContent = text;
      } catch (error) {
        if (mine !== asked) return;
        summary.textContent = "";
        results.replaceChildren(el("div", { class: "empty" }, el("p", { class: "error" }, error.message),
          el("div", { class: "buttons" }, button("Try again", "quiet", run))));
      }
      results.setAttribute("aria-busy", "false");
    };
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, 250); });
    const form = el("form", { class: "search", role: "search", submit: (event) => { event.preventDefault(); clearTimeout(timer); run(); } },
      input, el("button", { class: "quiet" }, "Refresh"));
    add(main, [el("div", { class: "title" }, heading(title), summary), form, el("div", { class: "card" }, results)]);
    run();
  };

  const channels = (main, _, query) => searching(main, "Channels", "Part of a name, or a pattern with * and ?", query.get("q") ?? "", "channels", async (text) => {
    const found = await ask(`/admin/api/channels?q=${encodeURIComponent(text)}`);
    const rows = found.channels;
    const shown = table("Channels with subscribers", [
      { name: "Channel", kind: "lead", cell: (own) => channelLink(own.channel) },
      { name: "Subscribers", kind: "number", cell: (own) => number(own.clients) },
    ], rows, text ? `No channel with subscribers matches “${text}”.` : "No channel has a subscriber.");
    const isName = text && !/[*?]/.test(text) && !rows.some((own) => own.channel === text);
    const open = isName ? el("p", { class: "empty small" }, "A channel without subscribers opens by its full name: ", channelLink(text)) : null;
    const total = `${found.counted ? "" : "more than "}${plural(found.total, "channel")}`;
    return [add(el("div"), [shown, open]), found.more ? `${total}, the ${rows.length} largest shown` : rows.length ? total : ""];
  });

  const clientColumns = (more) => [
    { name: "User", kind: "lead", cell: (own) => who(own.user) },
    { name: "Client", cell: (own) => clientLink(own.client) },
    ...more,
  ];

  const clients = (main, _, query) => searching(main, "Clients", "A user, a client’s identifier, or a part of one", query.get("q") ?? "", "clients", async (text) => {
    const found = await ask(`/admin/api/clients?q=${encodeURIComponent(text)}`);
    const rows = found.clients.sort((one, other) => other.since_s - one.since_s);
    const shown = table("Clients", clientColumns([
      { name: "Transport", cell: transport },
      { name: "Channels", kind: "number", cell: (own) => number(own.channels) },
      { name: "Connected", kind: "number", cell: (own) => time(own.since_s * 1000) },
    ]), rows, text ? `No client matches “${text}”.` : "Nobody is connected.");
    return [shown, found.more ? `${rows.length} shown; there are more` : rows.length ? plural(rows.length, "client") : ""];
  });

  /** Shows that something comes, then it, or why not. */
  const loading = async (main, back, title, path, fill) => {
    const inside = el("div", { class: "card empty", role: "status" }, "Loading…");
    const top = el("div", { class: "title" }, heading(title));
    add(main, [el("a", { class: "back", href: back.href }, `← ${back.name}`), top, inside]);
    try {
      const answer = await ask(path);
      if (!inside.isConnected) return;
      inside.remove();
      fill(answer, top);
    } catch (error) {
      inside.replaceChildren(el("p", { class: "error" }, error.message), el("div", { class: "buttons" }, button("Try again", "quiet", show)));
    }
  };

  const publishForm = (channel, done) => {
    const data = el("textarea", { id: "data", class: "mono", spellcheck: "false", required: true, "aria-describedby": "data-error", rows: "4" });
    data.value = "{\"text\": \"hello\"}";
    const name = el("input", { id: "channel", class: "mono", required: true, autocomplete: "off", spellcheck: "false", maxlength: "255", placeholder: "namespace:name" });
    name.value = channel ?? "";
    const skip = el("input", { type: "checkbox" });
    const error = el("p", { id: "data-error", class: "error", role: "alert" });
    const send = el("button", { class: "primary" }, "Publish");
    const wrong = (text) => { data.setAttribute("aria-invalid", text ? "true" : "false"); error.textContent = text; };
    data.addEventListener("input", () => wrong(""));
    const submit = async (event) => {
      event.preventDefault();
      let value;
      try {
        value = JSON.parse(data.value);
      } catch (why) {
        wrong(`This is not JSON: ${why.message}`);
        return data.focus();
      }
      wrong("");
      send.disabled = true;
      const target = channel ?? name.value.trim();
      const published = (result) => (result.offset ? `Published to ${target} at offset ${result.offset}.` : `Published to ${target}.`);
      if (await attempt(() => call("publish", { channel: target, data: value, skip_history: skip.checked }), published)) done?.(target);
      send.disabled = false;
    };
    return el("form", { class: "form inside", submit },
      channel ? null : [el("label", { for: "channel" }, "Channel"), name],
      el("label", { for: "data" }, "Data, as JSON"), data, error,
      el("label", { class: "check" }, skip, "Leave it out of the history"),
      el("div", { class: "buttons" }, send));
  };

  const publication = (own) => el("li", {},
    el("div", { class: "meta" }, el("b", {}, `#${own.offset}`), time(own.time), el("span", {}, bytes(own.bytes)),
      own.client ? el("span", {}, "by ", own.user || "anonymous", " ", clientLink(own.client)) : el("span", {}, "by the server"),
      own.base64 ? el("span", {}, "bytes, as base64") : null,
      Object.entries(own.tags ?? {}).map(([name, value]) => el("span", {}, `${name}=${value}`))),
    el("pre", {}, own.text + (own.cut ? "…" : "")));

  const historyOf = (own, name) => {
    if (own.error) return el("p", { class: "empty" }, own.error);
    if (!own.publications.length) return el("p", { class: "empty" }, own.offset ? "Everything has expired or was removed." : "Nothing was published yet.");
    const list = el("ol", { class: "feed", tabindex: "0", "aria-label": "Publications, newest first" }, own.publications.map(publication));
    const older = button("Older", "quiet", async () => {
      older.disabled = true;
      try {
        const before = list.dataset.before;
        const { history: next } = await ask(`/admin/api/channel?name=${encodeURIComponent(name)}&before=${before}`);
        add(list, next.publications.map(publication));
        if (next.publications.length) list.dataset.before = next.publications.at(-1).offset;
        older.hidden = !next.more;
      } catch (error) {
        say(error.message, true);
      }
      older.disabled = false;
    });
    list.dataset.before = own.publications.at(-1).offset;
    return [list, own.more ? el("div", { class: "inside buttons" }, older) : null];
  };

  const channel = (main, name) => loading(main, { href: "#/channels", name: "Channels" }, name, `/admin/api/channel?name=${encodeURIComponent(name)}`, (own, top) => {
    top.append(el("div", { class: "buttons" }, button("Refresh", "quiet", show)));
    if (own.options.length) main.append(el("ul", { class: "chips", "aria-label": "Options of the namespace" }, own.options.map((option) => el("li", {}, option))));
    const tile = (title, value, note = "") => el("dl", { class: "card tile" }, el("dt", {}, title), el("dd", { class: "value" }, value), el("dd", { class: "note" }, note));
    main.append(el("div", { class: "tiles" },
      tile("Subscribers", number(own.clients)),
      own.presence ? tile("Users present", number(own.presence.users), plural(own.presence.clients, "client")) : null,
      own.history && !own.history.error ? tile("Offset", number(own.history.offset), own.history.epoch ? `epoch ${own.history.epoch}` : "") : null));
    const clear = async () => {
      if (!await sure("Remove the history?", `All publications that ${name} keeps are removed. Its offset goes on.`, "Remove")) return;
      if (await attempt(() => call("history_remove", { channel: name }), "The history was removed.")) show();
    };
    const clearing = own.history?.publications?.length ? [button("Remove…", "warn", clear)] : [];
    main.append(el("div", { class: "columns" },
      section("Publish here", [], publishForm(name, () => show())),
      own.history ? section("History, newest first", clearing, historyOf(own.history, name)) : section("History", [], el("p", { class: "empty" }, "This namespace keeps none."))));
    if (!own.presence) return void main.append(section("Present", [], el("p", { class: "empty" }, "This namespace does not keep who is present.")));
    const rows = own.presence.list ?? [];
    main.append(section("Present", [], table("Clients that are present", clientColumns([
      { name: "Info", cell: (client) => ["conn_info", "chan_info"].filter((key) => key in client).map((key) => el("span", { class: "mono" }, JSON.stringify(client[key]), " ")) },
      { name: "", kind: "short act", cell: (client) => button("Unsubscribe…", "warn", () => unsubscribe(name, client.client, client.user)) },
    ]), rows, own.presence.list ? "Nobody is here." : "Too many clients to list."),
    rows.length && rows.length < own.presence.clients ? el("p", { class: "empty small" }, `${rows.length} of ${number(own.presence.clients)} shown`) : null));
  });

  const client = (main, id) => loading(main, { href: "#/clients", name: "Clients" }, "Client", `/admin/api/client?id=${encodeURIComponent(id)}`, (own, top) => {
    const actions = [button("Refresh", "quiet", show), button("Disconnect…", "warn", () => disconnect({ client: own.client }, "Disconnect this client?"))];
    if (own.user) actions.push(button("Disconnect the user…", "warn", () => disconnect({ user: own.user }, `Disconnect all clients of ${own.user}?`)));
    top.append(el("div", { class: "buttons" }, actions));
    const fact = (name, value) => [el("dt", {}, name), el("dd", {}, value)];
    const info = own.conn_info !== undefined ? JSON.stringify(own.conn_info) : own.b64conn_info;
    main.append(el("dl", { class: "card facts" },
      fact("Identifier", el("span", { class: "mono" }, own.client)),
      fact("User", own.user ? el("a", { href: `#/clients?q=${encodeURIComponent(own.user)}` }, own.user) : who("")),
      fact("Transport", transport(own)),
      fact("Connected", [time(own.since_s * 1000), ` · ${span(Math.max(0, Math.round(Date.now() / 1000 - own.since_s)))}`]),
      fact("Expires", own.expires_s ? time(own.expires_s * 1000) : "never"),
      own.behind ? fact("State", el("span", { class: "error" }, "reads too slowly")) : null,
      fact("Reactor", own.reactor),
      info === undefined ? null : fact("Info", el("span", { class: "mono" }, info))));
    main.append(section("Channels", [], table("Channels of this client", [
      { name: "Channel", kind: "lead", cell: (channel) => channelLink(channel.channel) },
      { name: "Subscribed by", cell: (channel) => (channel.server_side ? "the server" : "the client") },
      { name: "", kind: "short act", cell: (channel) => button("Unsubscribe…", "warn", () => unsubscribe(channel.channel, own.client, own.user)) },
    ], own.list, "It is subscribed to nothing.")));
  });

  const publish = (main) => {
    add(main, [heading("Publish"), el("div", { class: "card narrow" }, publishForm(null))]);
  };

  // Where the page is.

  const views = { "": overview, channels, channel, clients, client, publish };
  const titles = { "": "overview", channel: "channels", client: "clients" };
  const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
  const show = () => {
    if (at("app").hidden) return;
    const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [key, ...rest] = path.split("/");
    const make = Object.hasOwn(views, key) ? views[key] : overview;
    const name = titles[key] ?? (Object.hasOwn(views, key) ? key : "overview");
    const main = at("main"), [isSame, top] = [view.hash === location.hash, scrollY];
    main.replaceChildren();
    view = { name, hash: location.hash };
    const update = make(main, decoded(rest.join("/")), new URLSearchParams(search));
    if (typeof update === "function") { view.update = update; update(); }
    document.title = `${name} · gannet admin`;
    for (const link of document.querySelectorAll("nav a")) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (isSame) scrollTo(0, top);
    else if (document.activeElement !== document.body) main.querySelector("h1")?.focus({ preventScroll: true });
  };

  // Coming and going.

  const logIn = (why) => {
    clearTimeout(live.timer);
    if (at("ask").open) at("ask").close();
    at("app").hidden = true;
    at("login").hidden = false;
    at("main").replaceChildren();
    view = { name: "" };
    if (why) at("login-why").textContent = why;
    document.title = "log in · gannet admin";
    at("password").focus();
  };
  const enter = () => {
    at("login").hidden = true;
    at("app").hidden = false;
    at("password").value = "";
    at("login-error").textContent = "";
    state("", "connecting");
    show();
    poll();
  };
  at("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const send = event.target.querySelector(".primary");
    send.disabled = true;
    at("login-error").textContent = "";
    try {
      await request("/admin/login", { password: at("password").value });
      enter();
    } catch (error) {
      const isLimited = error.status === 429;
      at("login-error").textContent = isLimited ? `Too many attempts. Try again in ${plural(error.wait || 60, "second")}.` : error.message;
      at("password").select();
    }
    send.disabled = false;
  });
  at("reveal").addEventListener("click", () => {
    const isShown = at("password").type === "text";
    at("password").type = isShown ? "password" : "text";
    at("reveal").textContent = isShown ? "Show" : "Hide";
    at("reveal").setAttribute("aria-pressed", String(!isShown));
  });
  at("logout").addEventListener("click", async () => {
    try {
      await request("/admin/logout", {});
      Object.assign(live, { node: "", number: 0, points: [], last: null });
      logIn("You are logged out.");
    } catch (error) {
      say(error.message, true);
    }
  });
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); at("main").focus(); });
  addEventListener("hashchange", show);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });

  const start = async () => {
    try {
      take(await request("/admin/api/live?after=0"));
      enter();
    } catch (error) {
      if (error.status === 401) return logIn();
      logIn();
      at("login-error").textContent = error.message;
    }
  };
  start();
})();
