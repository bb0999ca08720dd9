// Requests to the server. Paths are relative, so that a proxy may serve the page below a prefix.

/** The server's own words for a request that failed. `fields`: by name, what is wrong with a field. */
export class Failure extends Error {
  constructor(message, status, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

const relative = (path) => path.replace(/^\//, "");

export async function readJson(path) {
  const response = await fetch(relative(path), { headers: { accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw await readFailure(response);
  return response.json();
}

/** Load, unload or clear a model. `token` goes into a header, never into the address. */
export async function operate(name, operation, token) {
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const path = `v2/repository/models/${encodeURIComponent(name)}/${operation}`;
  const response = await fetch(path, { method: "POST", headers });
  if (!response.ok) throw await readFailure(response);
  return response.json();
}

/** Send a form. `handle` gets the events `queue` and `progress`; the result is the event `answer`. Throws Failure. */
export async function generate(path, form, signal, handle) {
  const headers = { accept: "text/event-stream" };
  const response = await fetch(relative(path), { method: "POST", body: form, headers, signal });
  if (!response.ok) throw await readFailure(response);
  for await (const event of readEvents(response.body)) {
    if (event.name === "answer") return event.data;
    if (event.name === "error") throw toFailure(event.data, event.data.status);
    handle(event);
  }
  throw new Failure("", 0);
}

async function readFailure(response) {
  try {
    return toFailure(await response.json(), response.status);
  } catch {
    return new Failure(`${response.status} ${response.statusText}`, response.status);
  }
}

/** Under /v2 the error is text, elsewhere an object. */
function toFailure(document, status) {
  const { error } = document;
  if (typeof error === "string") return new Failure(error, status, document.fields ?? {});
  return new Failure(error?.message ?? JSON.stringify(document), status, error?.fields ?? {});
}

/** Server-sent events of a stream. An answer may be many megabytes in one line: parts are joined once its end is there. */
async function* readEvents(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    parts.push(value);
    if (!value.includes("\n")) continue;
    const blocks = parts.join("").split("\n\n");
    parts = [blocks.pop()];
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (name && data) yield { name, data: JSON.parse(data) };
    }
  }
}
