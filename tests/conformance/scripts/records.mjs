// Records of text with everything that can be done to them: `records.mjs PREFIX`. The same parts as records.py.

import { MAJOR, client, openIndex } from './connect.mjs';
import * as plain from './plain.mjs';
import * as texts from './text_calls.mjs';

const [PREFIX] = process.argv.slice(2);
const SCENARIO = JSON.parse(process.env.SCENARIO);
const AWS = { cloud: 'aws', region: 'us-east-1' };
const LONG = 'apple '.repeat(3000);
const ONES = Array(1024).fill(1);

const indexName = (kind) => `${PREFIX}-${kind}`;

function create(kind, model, options = {}) {
  const embed = { model, fieldMap: { text: 'source_text' }, ...options };
  return client().createIndexForModel({ name: indexName(kind), ...AWS, embed, waitUntilReady: true });
}

/** Opens the index named after `kind`: a function that opens one of its namespaces. */
async function openNamed(kind) {
  const { host } = await client().describeIndex(indexName(kind));
  return (namespace) => openIndex(indexName(kind), host, namespace);
}

async function createPlain(kind) {
  const spec = { serverless: AWS };
  await client().createIndex({ name: indexName(kind), dimension: 1024, metric: 'cosine', spec, waitUntilReady: true });
  return openNamed(kind);
}

async function definitions() {
  const parameters = { readParameters: { truncate: 'NONE' }, writeParameters: { truncate: 'NONE' } };
  const seen = {
    dense: texts.embed(await create('dense', SCENARIO.dense_model)),
    sparse_model: texts.embed(await create('sparse', SCENARIO.sparse_model)).model,
    strict: texts.embed(await create('strict', SCENARIO.dense_model, { metric: 'cosine', ...parameters })),
    described: texts.embed(await client().describeIndex(indexName('dense'))),
  };
  const { indexes } = await client().listIndexes();
  seen.names = indexes.map(({ name }) => name).filter((name) => name.startsWith(`${PREFIX}-`)).sort();
  return seen;
}

async function searches(open, wanted) {
  const index = open(SCENARIO.namespace);
  await index.upsertRecords({ records: SCENARIO.records });
  const seen = {};
  for (const [name, body] of Object.entries(wanted)) {
    seen[name] = texts.answer(await index.searchRecords(texts.searchOptions(body)));
  }
  return seen;
}

async function found(index, query, topK = 1) {
  return texts.answer(await index.searchRecords({ query: { topK, ...query } })).hits;
}

async function life(open) {
  const index = open('life');
  await index.upsertRecords({ records: SCENARIO.records.slice(0, 4) });
  const { records } = await index.fetch({ ids: ['rec3', 'nobody'] });
  const vector = records.rec3.values;
  const seen = {
    fetched: Object.fromEntries(Object.entries(records).map(([id, { metadata }]) => [id, metadata])),
    dimension: vector.length,
    nearest: plain.matches(await index.query({ vector, topK: 1 })),
  };
  await index.update({ id: 'rec3', metadata: { category: 'health', checked: true } });
  seen.updated = await found(index, { id: 'rec3' });
  await index.upsertRecords({ records: [{ _id: 'rec3', source_text: 'A train crosses the Alps.' }] });
  seen.overwritten = await found(index, { inputs: { text: 'railway' } });
  await index.deleteMany({ ids: ['rec3'] });
  seen.deleted = (await found(index, { inputs: { text: 'railway' } }, 10)).map(([id]) => id);

  await open('vectors').upsert({ records: [{ id: 'vector', values: ONES, metadata: { kind: 'plain' } }] });
  seen.vector = await found(open('vectors'), { vector: { values: ONES } });
  seen.counted = plain.counts(await index.describeIndexStats()).life;
  return seen;
}

async function namespaces(open) {
  const records = [{ _id: 'one', source_text: 'A cat sleeps on the sofa.' }];
  const seen = {};
  for (const namespace of [SCENARIO.odd_namespace, '__default__']) {
    await open(namespace).upsertRecords({ records });
    seen[namespace] = (await found(open(namespace), { inputs: { text: 'a pet' } })).map(([id]) => id);
  }
  const counts = plain.counts(await open('').describeIndexStats());
  seen.counted = [counts[SCENARIO.odd_namespace], counts['']];
  seen.nowhere = await found(open('nowhere'), { inputs: { text: 'a pet' } });
  return seen;
}

async function configured() {
  const name = indexName('later');
  const open = await createPlain('later');
  await open('').upsert({ records: [{ id: 'vector', values: ONES }] });
  const seen = { before: (await client().describeIndex(name)).embed ?? null };
  await client().configureIndex({ name, embed: { model: SCENARIO.dense_model, fieldMap: { text: 'chunk' } } });
  seen.after = texts.embed(await client().describeIndex(name));
  await open('').upsertRecords({ records: [{ _id: 'text', chunk: 'A cat sleeps on the sofa.' }] });
  seen.found = (await found(open(''), { inputs: { text: 'a pet' } }, 10)).map(([id]) => id);
  const changes = { fieldMap: { text: 'body' }, readParameters: { truncate: 'NONE' } };
  await client().configureIndex({ name, embed: changes });
  seen.changed = texts.embed(await client().describeIndex(name));
  const other = { model: 'llama-text-embed-v2', fieldMap: { text: 'body' } };
  seen.other_model = await texts.refusal(() => client().configureIndex({ name, embed: other }));
  return seen;
}

async function reconfigured() {
  const name = indexName('strict');
  const field = { type: 'semantic_text', readParameters: { truncate: 'END' } };
  await client().configureIndex({ name, schema: { fields: { source_text: field } } });
  return { changed: texts.embed(await client().describeIndex(name)) };
}

async function refusals(open) {
  const strict = await openNamed('strict');
  const plainIndex = await createPlain('plain');
  const rerank = { model: SCENARIO.reranker, rank_fields: ['source_text'] };
  const good = { _id: 'good', source_text: 'A cat sleeps on the sofa.' };
  const inputs = { text: 'apple' };

  const upsert = (records, into = open) =>
    texts.refusal(() => into('refused').upsertRecords({ records: [good, ...records] }));
  const search = (query, options = {}, within = open) => {
    const body = { query: { top_k: 3, ...query }, ...options };
    return texts.refusal(() => within(SCENARIO.namespace).searchRecords(texts.searchOptions(body)));
  };
  const indexFor = (embed) => texts.refusal(() => create('refused', SCENARIO.dense_model, embed));
  const text = (number) => ({ _id: String(number), source_text: 'text' });

  const seen = {
    missing_text: await upsert([{ _id: 'a', category: 'x' }]),
    text_is_a_number: await upsert([{ _id: 'a', source_text: 5 }]),
    empty_text: await upsert([{ _id: 'a', source_text: '' }]),
    object_as_field: await upsert([{ _id: 'a', source_text: 'text', place: { city: 'Bern' } }]),
    too_many: await upsert([...Array(96).keys()].map(text)),
    plain_index: await upsert([], plainIndex),
    plain_search: await search({ inputs }, {}, plainIndex),
    wrong_dimension: await texts.refusal(() => open('refused').upsert({ records: [{ id: 'a', values: [1, 2, 3] }] })),
    wrong_query_dimension: await search({ vector: { values: [1, 2, 3] } }),
    text_and_id: await search({ inputs, id: 'rec1' }),
    terms_on_dense: await search({ inputs, match_terms: { strategy: 'all', terms: ['apple'] } }),
    too_long_text: await upsert([{ _id: 'a', source_text: LONG }], strict),
    too_long_query: await search({ inputs: { text: LONG } }, {}, strict),
    rank_field: await search({ inputs }, { rerank: { ...rerank, rank_fields: ['nothing'] } }),
    two_rank_fields: await search({ inputs }, { rerank: { ...rerank, rank_fields: ['source_text', 'category'] } }),
    rerank_without_query: await search({ id: 'rec1' }, { rerank }),
    reranker: await search({ inputs }, { rerank: { ...rerank, model: 'no-such-model' } }),
    filter: await search({ inputs, filter: { category: { $like: 'x' } } }),
    model: await indexFor({ model: 'text-embedding-ada-002' }),
    model_reranks: await indexFor({ model: SCENARIO.reranker }),
    field_map: await indexFor({ fieldMap: { text_field: 'source_text' } }),
    metric: await indexFor({ metric: 'dotproduct' }),
    same_name: await texts.refusal(() => create('dense', SCENARIO.dense_model)),
  };
  const counts = await Promise.all([open, strict].map((index) => index('').describeIndexStats()));
  seen.nothing_was_written = counts.map(plain.counts).reduce((sum, one) => sum + (one.refused ?? 0), 0);
  return seen;
}

const seen = { definitions: await definitions() };
const dense = await openNamed('dense');
seen.dense = await searches(dense, SCENARIO.dense_searches);
seen.sparse = await searches(await openNamed('sparse'), SCENARIO.sparse_searches);
seen.life = await life(dense);
seen.namespaces = await namespaces(dense);
seen.refusals = await refusals(dense);
if (MAJOR < 9) seen.configured = await configured();
else seen.reconfigured = await reconfigured();
console.log(JSON.stringify(seen));
