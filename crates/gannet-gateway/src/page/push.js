// A small client of the Centrifuge protocol: connects, subscribes, recovers, publishes. Real applications use the SDK.
"use strict";
const channel = "demo:chat";
const $ = (id) => document.getElementById(id);
let socket, commands = 0, waiting = new Map(), position, delay = 250;

function send(command) {
  const id = ++commands;
  socket.send(JSON.stringify({ id, ...command }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

function show(publication) {
  const item = document.createElement("li"), time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const data = publication.data;
  const text = data && typeof data.text === "string" ? data.text : JSON.stringify(data);
  item.append(time, text);
  $("messages").append(item);
  item.scrollIntoView({ block: "nearest" });
  while ($("messages").childElementCount > 200) $("messages").firstChild.remove();
  if (publication.offset && position) position.offset = publication.offset;
}

async function countPresent() {
  try {
    const reply = await send({ presence_stats: { channel } });
    $("present").textContent = reply.presence_stats.num_clients;
  } catch { /* The connection is gone, or presence is off. */ }
}

function take(reply) {
  if (reply.id) {
    const { resolve, reject } = waiting.get(reply.id) || {};
    waiting.delete(reply.id);
    if (reply.error) reject?.(new Error(`${reply.error.code}: ${reply.error.message}`));
    else resolve?.(reply);
  } else if (!reply.push) {
    socket.send("{}");
  } else if (reply.push.channel === channel) {
    const { pub, join, leave, unsubscribe } = reply.push;
    if (pub) show(pub);
    if (join || leave) countPresent();
    if (unsubscribe && unsubscribe.code >= 2500) subscribe();
  }
}

async function subscribe() {
  const recover = position ? { recover: true, ...position } : {};
  const { subscribe: result } = await send({ subscribe: { channel, join_leave: true, ...recover } });
  position = result.recoverable ? { epoch: result.epoch, offset: result.offset || 0 } : undefined;
  (result.publications || []).forEach(show);
  countPresent();
}

function connect() {
  const url = new URL("connection/websocket", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(url);
  socket.onopen = async () => {
    try {
      await send({ connect: { name: "gannet-page" } });
      await subscribe();
      $("state").textContent = "connected";
      delay = 250;
    } catch (error) {
      $("state").textContent = error.message;
    }
  };
  socket.onmessage = (event) => event.data.split("\n").filter(Boolean).forEach((line) => take(JSON.parse(line)));
  socket.onclose = (event) => {
    waiting.forEach(({ reject }) => reject(new Error("the connection is gone")));
    waiting.clear();
    const final = (event.code >= 3500 && event.code < 4000) || (event.code >= 4500 && event.code < 5000);
    $("state").textContent = `${event.reason || "no connection"}${final ? "" : ", connecting again"}`;
    if (!final) setTimeout(connect, delay = Math.min(delay * 2, 10000));
  };
}

$("form").onsubmit = async (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text) return;
  try {
    await send({ publish: { channel, data: { text } } });
    $("text").value = "";
  } catch (error) {
    $("state").textContent = error.message;
  }
};

const here = location.href.replace(/[?#].*/, "").replace(/\/$/, "");
const insecure = location.protocol === "https:" ? " -k" : "";
$("publish").textContent =
  `curl${insecure} ${here}/api/publish -d '{"channel":"${channel}","data":{"text":"hello from curl"}}'`;
$("listen").textContent = `curl${insecure} -N '${here}/events?channel=${channel}'`;
$("sdk").textContent = [
  `const client = new Centrifuge("${here.replace(/^http/, "ws")}/connection/websocket"); // npm install centrifuge`,
  `client.newSubscription("${channel}").on("publication", ({ data }) => console.log(data)).subscribe();`,
  "client.connect();",
].join("\n");
connect();
