"use strict";
(() => {
  const at = (id) => document.getElementById(id);

  let socket;
  const send = () => socket.send(at("ws-text").value);
  const connect = () => {
    const url = new URL("/ws/echo", location);
    url.protocol = url.protocol.replace("http", "ws");
    at("ws-state").textContent = "connecting";
    socket = new WebSocket(url);
    socket.onopen = () => { at("ws-state").textContent = "connected"; send(); };
    socket.onmessage = (event) => { at("ws-echo").textContent = event.data; };
    socket.onclose = () => { at("ws-state").textContent = "closed: send to connect again"; };
  };
  at("ws-form").onsubmit = (event) => {
    event.preventDefault();
    if (socket.readyState === WebSocket.OPEN) send();
    else if (socket.readyState === WebSocket.CLOSED) connect();
  };
  connect();

  const clock = new EventSource("/sse/clock");
  clock.onopen = () => { at("sse-state").textContent = "connected"; };
  clock.addEventListener("tick", (event) => { at("sse-clock").textContent = event.data; });
  clock.onerror = () => {
    at("sse-state").textContent = clock.readyState === EventSource.CLOSED ? "closed" : "connecting again";
  };
})();
