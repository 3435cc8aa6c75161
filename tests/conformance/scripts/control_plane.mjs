// The life of an index on the control plane, from JavaScript: `control_plane.mjs PREFIX`; see control_plane.py.

import { MAJOR, client } from './connect.mjs';
import * as plain from './plain.mjs';

const [PREFIX] = process.argv.slice(2);
const NAME = `${PREFIX}-control`;
const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } };
const pc = client();

const names = async () => ((await pc.listIndexes()).indexes ?? []).map(({ name }) => name);
const configure = (options) =>
  MAJOR >= 8 ? pc.configureIndex({ name: NAME, ...options }) : pc.configureIndex(NAME, options);

async function described(name) {
  const { dimension, metric, status, deletionProtection } = await pc.describeIndex(name);
  const { ready, state } = status;
  return { name, dimension, metric, ready, state, protected: deletionProtection === 'enabled' };
}

async function defaultMetric() {
  const name = `${PREFIX}-default`;
  await pc.createIndex({ name, dimension: 3, spec });
  const { metric } = await pc.describeIndex(name);
  await pc.deleteIndex(name);
  return metric;
}

const seen = { before: (await names()).includes(NAME) };
await pc.createIndex({ name: NAME, dimension: 8, metric: 'euclidean', spec, deletionProtection: 'enabled' });
seen.created = await described(NAME);
seen.listed = seen.has_index = (await names()).includes(NAME);
seen.created_again = await plain.failure(() => pc.createIndex({ name: NAME, dimension: 8, spec }));
seen.protected = await plain.failure(() => pc.deleteIndex(NAME));
await configure({ deletionProtection: 'disabled' });
seen.unprotected = await described(NAME);

await configure({ tags: { team: 'search', stage: 'test' } });
seen.tagged = (await pc.describeIndex(NAME)).tags;
await configure({ tags: { team: '', owner: 'me' } });
seen.retagged = (await pc.describeIndex(NAME)).tags;

if (MAJOR >= 8) {
  const name = `${PREFIX}-sparse`;
  await pc.createIndex({ name, metric: 'dotproduct', vectorType: 'sparse', spec, tags: { a: 'b' } });
  const { status, tags } = await pc.describeIndex(name);
  seen.sparse = { ready: status.ready, tags };
  seen.both_listed = (await names()).filter((one) => one === NAME || one === name).length === 2;
  await pc.deleteIndex(name);
}

seen.upper_case = await plain.failure(() => pc.createIndex({ name: 'Upper', dimension: 8, spec }));
seen.dimension = await plain.failure(() => pc.createIndex({ name: `${PREFIX}-big`, dimension: 20001, spec }));
seen.cosine_is_default = await defaultMetric();

await pc.deleteIndex(NAME);
seen.deleted = (await names()).includes(NAME);
seen.described_after = await plain.failure(() => pc.describeIndex(NAME));
seen.deleted_again = await plain.failure(() => pc.deleteIndex(NAME));
console.log(JSON.stringify(seen));
