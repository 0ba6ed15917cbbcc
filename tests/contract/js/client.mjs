// One OpenFeature client, unmodified, driven line by line: commands on standard input, what happens on standard output.
import { createInterface } from 'node:readline';

const [kind, baseUrl, options] = [process.argv[2], process.argv[3], JSON.parse(process.argv[4])];
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const plainFetch = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const request = new Request(input, init);
  const sentMs = performance.now();
  const answer = await plainFetch(request);
  say({
    fetched: request.url,
    ifNoneMatch: request.headers.get('if-none-match'),
    status: answer.status,
    etag: answer.headers.get('etag'),
    retryAfterS: Number(answer.headers.get('retry-after')),
    sentMs,
    answeredMs: performance.now(),
  });
  return answer;
};

const { OpenFeature, ProviderEvents } = await import(`@openfeature/${kind}-sdk`);
const { OFREPProvider, OFREPWebProvider } = await import(
  kind === 'web' ? '@openfeature/ofrep-web-provider' : '@openfeature/ofrep-provider'
);
for (const event of Object.values(ProviderEvents)) {
  OpenFeature.addHandler(event, (details) => say({ event, flags: details?.flagsChanged ?? [] }));
}
if (kind === 'web') {
  await OpenFeature.setContext(options.context ?? {});
}
const provider = kind === 'web' ? new OFREPWebProvider({ baseUrl }) : new OFREPProvider({ baseUrl });
try {
  await OpenFeature.setProviderAndWait(provider);
  say({ ready: true });
} catch (error) {
  say({ ready: false, error: String(error) });
}
const client = OpenFeature.getClient();

const details = {
  boolean: (key, value, context) => client.getBooleanDetails(key, value, context),
  string: (key, value, context) => client.getStringDetails(key, value, context),
  number: (key, value, context) => client.getNumberDetails(key, value, context),
  object: (key, value, context) => client.getObjectDetails(key, value, context),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { ask, key, fallback, context, setContext } = JSON.parse(line);
  if (setContext) {
    await OpenFeature.setContext(setContext);
    say({ contextSet: true });
  } else {
    say({ answer: await details[ask](key, fallback, kind === 'web' ? undefined : context) });
  }
}
await OpenFeature.close();
