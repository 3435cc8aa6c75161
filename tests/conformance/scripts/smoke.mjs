// A few calls, from JavaScript: `smoke.mjs PREFIX`; see smoke.py.

import { client, openIndex } from './connect.mjs';
import * as plain from './plain.mjs';

const [PREFIX] = process.argv.slice(2);
const name = `${PREFIX}-smoke`;
const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } };
await client().createIndex({ name, dimension: 2, metric: 'cosine', spec, waitUntilReady: true });
const { host } = await client().describeIndex(name);
const index = openIndex(name, host, 'rest');
await index.upsert({
  records: [
    { id: 'rest-1', values: [1, 0] },
    { id: 'rest-2', values: [0, 1] },
  ],
});
const rest = plain.matches(await index.query({ vector: [1, 0], topK: 2 }));
await client().deleteIndex(name);
console.log(JSON.stringify({ host, rest }));
