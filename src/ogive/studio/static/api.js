// Requests to the server, and its stream of events, which one tab reads for all tabs of the run.

const RETRY_MS = [300, 600, 1200, 2500];

let run = null;

/** Name the run that every request from now on is about. */
export function setRun(name) {
  run = name;
}

/** The server said no: `status` is its HTTP status, `body` what it answered. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.reason ?? body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.body = body ?? {};
  }
}

/** Return the address of an answer: for a link, or for `get`. */
export function address(path) {
  const about = run === null ? "" : `${path.includes("?") ? "&" : "?"}run=${encodeURIComponent(run)}`;
  return `/api/${path}${about}`;
}

/** Ask `/api/PATH` about the run and return the JSON value. */
export async function get(path) {
  return answer(await fetch(address(path)));
}

/** Send a JSON value; `csrf` is the word that `state` handed to this page. */
export async function post(path, value, csrf) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
  return answer(await fetch(address(path), { method: "POST", headers, body: JSON.stringify(value) }));
}

async function answer(response) {
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

/**
 * Hand every event of the run to `receive`, and what became of the connection to `tell` ("live", "reconnecting",
 * "closed" where the server wants another login). Browsers allow few connections to one server, so the tab that
 * holds a lock reads the stream and passes it on; when it goes, the next one takes over from where it is itself.
 * Returns a function that ends it.
 */
export function follow(after, receive, tell) {
  const name = `ogive-studio-${run}`;
  const channel = new BroadcastChannel(name);
  const end = new AbortController();
  let known = null;
  const spread = (message) => {
    channel.postMessage(message);
    take(message);
  };
  const take = ({ event, status }) => {
    if (event) receive(event);
    if (status) tell(status);
  };
  channel.onmessage = ({ data }) => {
    if (!data.ask) take(data);
    else if (known) channel.postMessage({ status: known });
  };
  const lead = () =>
    lasting(end.signal, after, (event) => spread({ event }), (status) => spread({ status: (known = status) }));
  channel.postMessage({ ask: true });
  if (navigator.locks) navigator.locks.request(name, { signal: end.signal }, lead).catch(() => {});
  else lead();
  return () => {
    end.abort();
    channel.close();
  };
}

/** Keep a stream open until `ended`, whatever happens to the server. */
async function lasting(ended, after, receive, tell) {
  for (let tries = 0; !ended.aborted; tries++) {
    const opened = await oneStream(ended, after(), receive, tell);
    if (ended.aborted) return;
    if (opened) tries = 0;
    tell("reconnecting");
    await new Promise((wake) => setTimeout(wake, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]));
    await get("state").catch((error) => error.status === 401 && tell("closed"));
  }
}

/** Read one stream to its end and return whether it ever opened. */
function oneStream(ended, after, receive, tell) {
  return new Promise((resolve) => {
    const source = new EventSource(address(`stream?after=${after}`));
    let opened = false;
    const close = () => {
      source.close();
      resolve(opened);
    };
    source.onopen = () => {
      opened = true;
      tell("live");
    };
    source.onmessage = ({ data }) => receive(JSON.parse(data));
    source.onerror = close;
    ended.addEventListener("abort", close, { once: true });
  });
}
