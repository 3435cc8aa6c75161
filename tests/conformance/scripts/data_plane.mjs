// Everything the data plane does, from JavaScript: `data_plane.mjs PREFIX`. The same parts as data_plane.py.

import { MAJOR, client, openIndex } from './connect.mjs';
import * as plain from './plain.mjs';

const [PREFIX] = process.argv.slice(2);
const FILMS = [
  { id: 'A', values: [1, 0, 0, 0], metadata: { genre: 'comedy', year: 2020 } },
  { id: 'B', values: [0, 1, 0, 0], metadata: { genre: 'documentary', year: 2019 } },
  { id: 'C', values: [1, 1, 0, 0], metadata: { genre: 'comedy', year: 2019, tags: ['x', 'y'] } },
  { id: 'D', values: [0, 0, 1, 1], metadata: { genre: 'drama', liked: true, rating: 7.5 } },
  { id: 'E', values: [0.6, 0.8, 0, 0] },
];

/** Creates an index named after `kind`. Returns a function that opens one of its namespaces. */
async function create(kind, options) {
  const name = `${PREFIX}-${kind}`;
  const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } };
  await client().createIndex({ name, spec, waitUntilReady: true, ...options });
  const { host } = await client().describeIndex(name);
  return (namespace, apiKey) => openIndex(name, host, namespace, apiKey);
}

async function dense(open) {
  const index = open('films');
  const vector = [1, 0, 0, 0];
  await index.upsert({ records: FILMS });
  const included = await index.query({ vector, topK: 2, includeValues: true, includeMetadata: true });
  const stats = await index.describeIndexStats();
  return {
    nearest: plain.matches(await index.query({ vector, topK: 3 })),
    by_id: plain.matches(await index.query({ id: 'A', topK: 2 })),
    all: plain.matches(await index.query({ vector, topK: 10 })),
    nothing_included: plain.record((await index.query({ vector, topK: 1 })).matches[0]),
    all_included: included.matches.map(plain.record),
    fetched: plain.fetched(await index.fetch({ ids: ['A', 'D', 'E', 'missing'] })),
    unknown_id: plain.ids(await index.query({ id: 'missing', topK: 3 })),
    unknown_namespace: plain.ids(await open('nowhere').query({ vector, topK: 3 })),
    nothing_fetched: plain.fetched(await open('nowhere').fetch({ ids: ['A'] })),
    stats: { dimension: stats.dimension, total: stats.totalRecordCount, namespaces: plain.counts(stats) },
  };
}

async function filters(open, expressions) {
  const seen = {};
  for (const [text, filter] of expressions) {
    seen[text] = plain.ids(await open('films').query({ vector: [1, 0, 0, 0], topK: 10, filter })).sort();
  }
  return seen;
}

async function changes(open) {
  const index = open('films');
  const nearest = { vector: [1, 1, 1, 1], topK: 10 };
  const seen = {};

  await index.update({ id: 'A', values: [0, 0, 0, 2] });
  await index.update({ id: 'B', metadata: { year: 2021, seen: true } });
  await index.update({ id: 'missing', values: [1, 1, 1, 1] });
  seen.updated = plain.fetched(await index.fetch({ ids: ['A', 'B', 'missing'] }));
  seen.updated_is_searched = plain.matches(await index.query({ vector: [0, 0, 0, 1], topK: 1 }));

  await index.upsert({ records: [{ id: 'C', values: [0, 0, 5, 0] }] });
  seen.overwritten = plain.fetched(await index.fetch({ ids: ['C'] }));

  await index.deleteMany({ ids: ['A', 'missing'] });
  seen.after_delete_ids = plain.counts(await index.describeIndexStats());
  // Version 4 wraps the filter of a delete into a second one: it deletes by id instead.
  await (MAJOR >= 8 ? index.deleteMany({ filter: { genre: { $eq: 'drama' } } }) : index.deleteOne({ id: 'D' }));
  seen.after_delete_filter = plain.ids(await index.query(nearest)).sort();
  await index.deleteAll();
  seen.after_delete_all = plain.ids(await index.query(nearest));
  return seen;
}

async function defaultNamespace(open) {
  const records = [
    { id: 'one', values: [1, 2, 3, 4] },
    { id: 'two', values: [4, 3, 2, 1], metadata: { side: 'left' } },
  ];
  await open('').upsert({ records });
  await open('__default__').upsert({ records: [{ id: 'three', values: [1, 1, 1, 2] }] });
  const seen = {
    stats: plain.counts(await open('').describeIndexStats()),
    fetched: plain.fetched(await open('').fetch({ ids: ['one', 'two', 'three'] })),
    nearest: plain.ids(await open('__default__').query({ vector: [1, 2, 3, 4], topK: 1 })),
  };
  await open('').deleteAll();
  return seen;
}

async function listing(open) {
  const ids = [...[0, 1, 2, 3, 4, 5, 6].map((number) => `page-${number}`), 'other', 'Page-0'];
  await open('pages').upsert({ records: ids.map((id) => ({ id, values: [1, 1, 1, 1] })) });
  return {
    pages: await pages(open('pages'), { prefix: 'page-', limit: 3 }),
    all: await pages(open('pages'), {}),
    no_match: (await pages(open('pages'), { prefix: 'nothing' })).filter((page) => page.length),
  };
}

async function pages(index, options) {
  const seen = [];
  let paginationToken;
  do {
    const page = await index.listPaginated({ ...options, paginationToken });
    seen.push(page.vectors.map(({ id }) => id));
    paginationToken = page.pagination?.next;
  } while (paginationToken);
  return seen;
}

async function oddNames(open) {
  const namespace = 'a/b c%2Fd?e&f=g+h#i';
  const id = 'id/with spaces & %41?+#"\'';
  const index = open(namespace);
  await index.upsert({ records: [{ id, values: [1, 2, 3, 4] }] });
  const seen = {
    fetched: plain.fetched(await index.fetch({ ids: [id] })),
    listed: await pages(index, { prefix: 'id/with ' }),
    counted: plain.counts(await index.describeIndexStats())[namespace],
  };
  if (MAJOR >= 8) {
    await open('a/b c').upsert({ records: [{ id: 'one', values: [1, 2, 3, 4] }] });
    seen.described = Number((await index.describeNamespace('a/b c')).recordCount);
    await index.deleteNamespace('a/b c');
    seen.gone = plain.counts(await index.describeIndexStats())['a/b c'] ?? null;
  }
  return seen;
}

async function namespaces(open) {
  const record = (number) => ({ id: `r${number}`, values: [1, 1, 1, 1] });
  await open('tenant-a').upsert({ records: [record(0), record(1)] });
  await open('tenant-b').upsert({ records: [record(0)] });
  const index = open('');
  const listed = await listedNamespaces(index);
  const tenants = listed.filter(({ name }) => name.startsWith('tenant-'));
  const seen = {
    listed: Object.fromEntries(tenants.map(({ name, recordCount }) => [name, Number(recordCount)])),
    described: Number((await index.describeNamespace('tenant-a')).recordCount),
    default: await describedDefault(index),
  };
  await index.deleteNamespace('tenant-a');
  await index.deleteNamespace('tenant-b');
  const left = Object.keys(plain.counts(await index.describeIndexStats()));
  seen.deleted = left.filter((name) => name.startsWith('tenant-'));
  seen.unknown = await plain.failure(() => index.describeNamespace('tenant-a'));
  return seen;
}

async function describedDefault(index) {
  await index.upsert({ records: [{ id: 'one', values: [1, 1, 1, 1] }] });
  const listed = (await listedNamespaces(index)).map(({ name }) => name);
  const described = await index.describeNamespace('__default__');
  await index.deleteNamespace('__default__');
  return {
    listed: listed.filter((name) => ['', '__default__'].includes(name)),
    described: [described.name, Number(described.recordCount)],
    left: Number((await index.describeNamespace('__default__')).recordCount),
  };
}

async function listedNamespaces(index) {
  const listed = [];
  let paginationToken;
  do {
    const page = await index.listNamespaces({ limit: 1, paginationToken });
    listed.push(...page.namespaces);
    paginationToken = page.pagination?.next;
  } while (paginationToken);
  return listed;
}

async function byFilter(open) {
  const index = open('by-filter');
  const filter = { genre: { $eq: 'comedy' } };
  await index.createNamespace({ name: 'by-filter' });
  const seen = { again: await plain.failure(() => index.createNamespace({ name: 'by-filter' })) };
  await index.upsert({ records: FILMS });
  seen.fetched = plain.fetched(await index.fetchByMetadata({ filter }));
  await index.update({ filter, metadata: { fun: true } });
  const found = await index.query({ vector: [1, 1, 1, 1], topK: 9, filter: { fun: true } });
  seen.after_update = plain.ids(found).sort();
  await index.deleteNamespace('by-filter');
  return seen;
}

async function hybrid(open) {
  const index = open('');
  const vector = [1, 0, 0, 0];
  const sparseVector = { indices: [5, 4294967295], values: [0.5, 9.0] };
  await index.upsert({
    records: [
      { id: 'h1', values: [1, 0, 0, 0], sparseValues: { indices: [1, 5], values: [1.0, 2.0] } },
      { id: 'h2', values: [0, 1, 0, 0], sparseValues: { indices: [5], values: [1.0] } },
      { id: 'h3', values: [0.75, 0, 0, 0] },
    ],
  });
  return {
    both: plain.matches(await index.query({ vector, sparseVector, topK: 3 })),
    dense_only: plain.matches(await index.query({ vector, topK: 3 })),
    fetched: plain.fetched(await index.fetch({ ids: ['h1', 'h3'] })),
    included: plain.record((await index.query({ vector, topK: 1, includeValues: true })).matches[0]),
  };
}

async function euclidean(open) {
  const index = open('');
  const values = { e1: [0, 0, 0, 1], e2: [3, 4, 0, 0], e3: [1, 0, 0, 1] };
  await index.upsert({ records: Object.entries(values).map(([id, values]) => ({ id, values })) });
  return { nearest: plain.matches(await index.query({ vector: [0, 0, 0, 1], topK: 3 })) };
}

async function sparse(open) {
  const index = open('');
  const sparseVector = { indices: [1, 2], values: [1.0, 1.0] };
  await index.upsert({
    records: [
      { id: 's1', sparseValues: { indices: [1, 2], values: [1.0, 2.0] }, metadata: { lang: 'en' } },
      { id: 's2', sparseValues: { indices: [2], values: [4.0] } },
      { id: 's3', sparseValues: { indices: [9, 4294967295], values: [1.0, 0.5] } },
    ],
  });
  return {
    nearest: plain.matches(await index.query({ sparseVector, topK: 10 })),
    filtered: plain.matches(await index.query({ sparseVector, topK: 10, filter: { lang: 'en' } })),
    by_id: plain.matches(await index.query({ id: 's3', topK: 10 })),
    fetched: plain.fetched(await index.fetch({ ids: ['s3'] })),
    total: (await index.describeIndexStats()).totalRecordCount,
  };
}

async function errors(open) {
  const index = open('');
  const values = [1, 2, 3, 4];
  const upsert = (record) => plain.failure(() => index.upsert({ records: [{ id: 'a', values, ...record }] }));
  const query = (options) => plain.failure(() => index.query({ vector: values, topK: 1, ...options }));
  return {
    upsert_dimension: await upsert({ values: [1, 2, 3] }),
    query_dimension: await query({ vector: [1, 2, 3] }),
    zero_vector: await upsert({ values: [0, 0, 0, 0] }),
    top_k: await query({ topK: 10001 }),
    long_id: await upsert({ id: 'x'.repeat(513) }),
    unknown_operator: await query({ filter: { genre: { $like: 'c' } } }),
    sparse_query: await query({ sparseVector: { indices: [1], values: [1.0] } }),
    metadata_size: await upsert({ metadata: { text: 'x'.repeat(41000) } }),
    unknown_namespace: await plain.failure(() => open('nowhere').deleteMany({ ids: ['a'] })),
    id_and_vector: await query({ id: 'a' }),
    unknown_index: await plain.failure(() => client().describeIndex('no-such-index')),
    wrong_key: await plain.failure(() => open('', 'wrong-key').describeIndexStats()),
    wrong_key_control: await plain.failure(() => client('wrong-key').listIndexes()),
    nothing_was_written: JSON.stringify(plain.fetched(await index.fetch({ ids: ['a', 'x'.repeat(512)] }))),
  };
}

const seen = {};
const films = await create('dense', { dimension: 4, metric: 'cosine' });
seen.dense = await dense(films);
seen.dense.filters = await filters(films, JSON.parse(process.env.FILTERS));
seen.changes = await changes(films);
seen.default_namespace = await defaultNamespace(films);
seen.listing = await listing(films);
seen.odd_names = await oddNames(films);
seen.errors = await errors(films);
if (MAJOR >= 8) {
  seen.namespaces = await namespaces(films);
  seen.by_filter = await byFilter(films);
  seen.sparse = await sparse(await create('sparse', { metric: 'dotproduct', vectorType: 'sparse' }));
}
seen.hybrid = await hybrid(await create('hybrid', { dimension: 4, metric: 'dotproduct' }));
seen.euclidean = await euclidean(await create('euclidean', { dimension: 4, metric: 'euclidean' }));
console.log(JSON.stringify(seen));
