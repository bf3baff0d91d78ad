// Runs clients of the official JavaScript SDK for the tests: a command a line on standard input, an answer or an event a line on
// standard output. The modules are looked for in the folder PUSH_MODULES.
//
// {"n": 1, "do": "publish", "client": "a", …} is answered by {"n": 1, "ok": …} or {"n": 1, "error": {"code", "message"}};
// {"client": "a", "on": "publication", …} is an event. `agent.py` and `go/main.go` do the same with other SDKs.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.PUSH_MODULES + "/");
const SDKS = { json: require("centrifuge").Centrifuge, protobuf: require("centrifuge/build/protobuf").Centrifuge };
const PATHS = { websocket: "/connection/websocket", sse: "/connection/sse", http_stream: "/connection/http_stream" };
const clients = new Map();

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

/** A client, and how it writes and reads data: values as JSON; over Protobuf as the bytes of that JSON. */
class Held {
  constructor(name, binary) {
    Object.assign(this, { name, binary });
  }
  write(value) {
    return value === undefined ? undefined : this.binary ? new TextEncoder().encode(JSON.stringify(value)) : value;
  }
  read(data) {
    if (!this.binary || data === undefined || data === null) return data;
    const bytes = Buffer.from(data);
    try {
      return bytes.length ? JSON.parse(bytes.toString()) : null;
    } catch {
      return { base64: bytes.toString("base64") };
    }
  }
  tell(on, fields = {}) {
    say({ client: this.name, on, ...fields });
  }
  person(info) {
    if (!info) return undefined;
    return { client: info.client, user: info.user, conn_info: this.read(info.connInfo), chan_info: this.read(info.chanInfo) };
  }
  publication({ data, offset, tags, info }) {
    return { data: this.read(data), offset: offset ?? 0, tags: tags ?? {}, info: this.person(info) };
  }
  subscribed({ channel, recoverable, positioned, streamPosition, wasRecovering, recovered, data }) {
    const { offset, epoch } = streamPosition ?? {};
    return { channel, recoverable, positioned, offset, epoch, was_recovering: wasRecovering, recovered, data: this.read(data) };
  }
}

/** Hands out tokens in turn, the last one again and again; null says that the user may not. */
function source(held, tokens, channel) {
  if (!tokens) return null;
  const left = [...tokens];
  return async () => {
    held.tell("token_asked", { channel });
    const token = left.length > 1 ? left.shift() : left[0];
    if (token === null) throw new held.UnauthorizedError("not allowed");
    return token;
  };
}

const does = {
  // No SDK: an EventSource, which connects again by itself.
  listen({ client, url }) {
    const { EventSource } = require("eventsource");
    const source = new EventSource(url);
    const tell = (on, fields = {}) => say({ client, on, ...fields });
    source.onopen = () => tell("open");
    source.onmessage = ({ data, lastEventId }) => tell("event", { data, id: lastEventId });
    source.onerror = ({ message, code }) => tell("failed", { message, code });
  },
  create({ client, base, transport = "websocket", format = "json", token, tokens, data, name, max_ping_delay = 10000 }) {
    const endpoint = transport === "websocket" ? base.replace("http", "ws") : base;
    const held = new Held(client, format === "protobuf");
    held.UnauthorizedError = SDKS[format].UnauthorizedError;
    const options = {
      token: token ?? "",
      getToken: source(held, tokens),
      data: held.write(data) ?? null,
      name: name ?? "js",
      websocket: require("ws"),
      eventsource: require("eventsource").EventSource,
      fetch,
      readableStream: ReadableStream,
      emulationEndpoint: base + "/emulation",
      minReconnectDelay: 20,
      maxReconnectDelay: 200,
      timeout: 20000,
      maxServerPingDelay: max_ping_delay,
    };
    held.sdk = new SDKS[format]([{ transport, endpoint: endpoint + PATHS[transport] }], options);
    const { sdk } = held;
    for (const on of ["connecting", "disconnected"]) sdk.on(on, ({ code, reason }) => held.tell(on, { code, reason }));
    sdk.on("connected", ({ client, data, transport }) => held.tell("connected", { id: client, transport, data: held.read(data) }));
    sdk.on("error", ({ type, error }) => held.tell("error", { type, code: error.code, message: error.message }));
    sdk.on("message", ({ data }) => held.tell("message", { data: held.read(data) }));
    sdk.on("subscribing", ({ channel }) => held.tell("server_subscribing", { channel }));
    sdk.on("subscribed", (context) => held.tell("server_subscribed", held.subscribed(context)));
    sdk.on("unsubscribed", ({ channel }) => held.tell("server_unsubscribed", { channel }));
    sdk.on("publication", (context) => held.tell("server_publication", { channel: context.channel, ...held.publication(context) }));
    for (const on of ["join", "leave"]) {
      sdk.on(on, ({ channel, info }) => held.tell("server_" + on, { channel, info: held.person(info) }));
    }
    clients.set(client, held);
  },
  connect: ({ held }) => held.sdk.connect(),
  disconnect: ({ held }) => held.sdk.disconnect(),
  subscribe({ held, channel, token, tokens, since, data, positioned, recoverable, join_leave }) {
    const known = held.sdk.getSubscription(channel);
    if (known) return known.subscribe();
    const options = { token: token ?? "", getToken: source(held, tokens, channel), data: held.write(data) ?? null };
    Object.assign(options, { positioned, recoverable, joinLeave: join_leave, minResubscribeDelay: 20, maxResubscribeDelay: 200 });
    if (since) options.getState = async () => (held.tell("state_asked", { channel }), since);
    const sub = held.sdk.newSubscription(channel, options);
    for (const on of ["subscribing", "unsubscribed"]) {
      sub.on(on, ({ code, reason }) => held.tell(on, { channel, code, reason }));
    }
    sub.on("subscribed", (context) => held.tell("subscribed", held.subscribed(context)));
    sub.on("error", ({ type, error }) => held.tell("sub_error", { channel, type, code: error.code, message: error.message }));
    sub.on("publication", (context) => held.tell("publication", { channel, ...held.publication(context) }));
    for (const on of ["join", "leave"]) sub.on(on, ({ info }) => held.tell(on, { channel, info: held.person(info) }));
    sub.subscribe();
  },
  unsubscribe({ held, channel }) {
    held.sdk.getSubscription(channel).unsubscribe();
  },
  async publish({ held, channel, data }) {
    await held.sdk.publish(channel, held.write(data));
  },
  // Several commands in one frame, or in one request.
  async batch({ held, channel, values }) {
    held.sdk.startBatching();
    const published = values.map((data) => held.sdk.publish(channel, held.write(data)));
    held.sdk.stopBatching();
    await Promise.all(published);
  },
  async history({ held, channel, limit, since, reverse }) {
    const { publications, offset, epoch } = await held.sdk.history(channel, { limit, since, reverse });
    return { publications: publications.map((one) => held.publication(one)), offset, epoch };
  },
  async presence({ held, channel }) {
    const { clients } = await held.sdk.presence(channel);
    return Object.fromEntries(Object.entries(clients).map(([id, info]) => [id, held.person(info)]));
  },
  async presence_stats({ held, channel }) {
    const { numClients, numUsers } = await held.sdk.presenceStats(channel);
    return { clients: numClients, users: numUsers };
  },
  async rpc({ held, method, data }) {
    return held.read((await held.sdk.rpc(method, held.write(data))).data);
  },
  async send({ held, data }) {
    await held.sdk.send(held.write(data));
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  try {
    const ok = await does[command.do]({ ...command, held: clients.get(command.client) });
    say({ n: command.n, ok: ok ?? {} });
  } catch (error) {
    say({ n: command.n, error: { code: error.code ?? 0, message: String(error.message ?? error) } });
  }
}).on("close", () => process.exit(0));
