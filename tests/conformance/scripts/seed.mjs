// The vector examples of the page "Upsert data" in JavaScript: `seed.mjs PREFIX`; see seed.py.

import { client, openIndex } from './connect.mjs';
import * as plain from './plain.mjs';

const [PREFIX] = process.argv.slice(2);

async function create(kind, dimension) {
  const name = `${PREFIX}-${kind}`;
  const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } };
  await client().createIndex({ name, dimension, metric: 'cosine', spec, waitUntilReady: true });
  const { host } = await client().describeIndex(name);
  return (namespace) => openIndex(name, host, namespace);
}

async function records(index) {
  await index.upsert({
    records: [
      { id: 'A', values: Array(8).fill(0.1), metadata: { genre: 'comedy', year: 2020 } },
      { id: 'B', values: Array(8).fill(0.2), metadata: { genre: 'documentary', year: 2019 } },
      { id: 'C', values: Array(8).fill(0.3), metadata: { genre: 'comedy', year: 2019 } },
      { id: 'D', values: Array(8).fill(0.4), metadata: { genre: 'drama' } },
    ],
  });
  return plain.fetched(await index.fetch({ ids: ['A', 'B', 'C', 'D'] }));
}

/** Ten thousand records in batches of 200. */
function* chunks() {
  const vector = () => Array.from({ length: 128 }, Math.random);
  for (let start = 0; start < 10000; start += 200) {
    yield Array.from({ length: 200 }, (_, row) => ({ id: `id-${start + row}`, values: vector() }));
  }
}

async function emptied(index) {
  const { totalRecordCount } = await index.describeIndexStats();
  await index.deleteAll();
  return totalRecordCount;
}

const seen = {};
seen.records = await records((await create('records', 8))('example-namespace'));

const index = (await create('batches', 128))('');
for (const chunk of chunks()) await index.upsert({ records: chunk });
seen.batches = await emptied(index);
await Promise.all([...chunks()].map((chunk) => index.upsert({ records: chunk })));
seen.parallel = await emptied(index);
console.log(JSON.stringify(seen));
