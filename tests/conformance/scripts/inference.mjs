// The Inference API: `inference.mjs`. The same steps as inference.py.

import { MAJOR, client } from './connect.mjs';
import * as texts from './text_calls.mjs';

const TEXTS = JSON.parse(process.env.TEXTS);
const { dense_model: DENSE, sparse_model: SPARSE, reranker: RERANKER, documents: CATS } = TEXTS;
const { inference } = client();
const round = (value) => Math.round(value * 10000) / 10000;

/** Version 4 takes plain arguments. */
const embed = (model, inputs, parameters) =>
  MAJOR >= 8 ? inference.embed({ model, inputs, parameters }) : inference.embed(model, inputs, parameters ?? {});
const rerank = ({ model = RERANKER, query = TEXTS.query, documents = CATS, ...options }) =>
  MAJOR >= 8
    ? inference.rerank({ model, query, documents, ...options })
    : inference.rerank(model, query, documents, options);

async function dense() {
  const answer = await embed(DENSE, TEXTS.inputs, { inputType: 'passage' });
  return {
    model: answer.model,
    ...(MAJOR >= 8 && { vector_type: answer.vectorType }),
    values: answer.data.map(({ values }) => values.map(round)),
    tokens: answer.usage.totalTokens,
  };
}

async function sparse() {
  const parameters = { inputType: 'passage', truncate: 'END' };
  const { vectorType, data } = await embed(SPARSE, TEXTS.inputs, { ...parameters, return_tokens: true });
  const [bare] = (await embed(SPARSE, TEXTS.inputs.slice(0, 1), parameters)).data;
  return {
    vector_type: vectorType,
    indices: data.map(({ sparseIndices }) => sparseIndices),
    values: data.map(({ sparseValues }) => sparseValues.map(round)),
    tokens: data.map(({ sparseTokens }) => sparseTokens),
    no_tokens: bare.sparseTokens ?? null,
  };
}

const ranked = ({ data }) => data.map(({ index, score, document }) => [index, round(score), document ?? null]);

async function reranked() {
  const strings = await rerank({ documents: CATS.map(({ text }) => text) });
  const other = CATS.map(({ id, text }) => ({ title: text, id }));
  return {
    model: strings.model,
    units: strings.usage.rerankUnits,
    strings: ranked(strings),
    objects: ranked(await rerank({})),
    best: ranked(await rerank({ topN: 1, parameters: { truncate: 'END' } })),
    no_documents: ranked(await rerank({ returnDocuments: false })),
    other_field: ranked(await rerank({ documents: other, rankFields: ['title'], topN: 1 })),
  };
}

async function models() {
  const names = async (options) => (await inference.listModels(options)).models.map(({ model }) => model);
  const info = await inference.getModel(DENSE);
  return {
    all: await names({}),
    dense: await names({ vectorType: 'dense' }),
    sparse: await names({ type: 'embed', vectorType: 'sparse' }),
    rerank: await names({ type: 'rerank' }),
    one: {
      model: info.model,
      type: info.type,
      vector_type: info.vectorType,
      default_dimension: info.defaultDimension,
      modality: info.modality,
      max_sequence_length: info.maxSequenceLength,
      max_batch_size: info.maxBatchSize,
      supported_dimensions: info.supportedDimensions,
      supported_metrics: info.supportedMetrics,
      parameters: info.supportedParameters.map((one) => [
        one.parameter,
        one.type,
        one.valueType,
        one.required,
        one.allowedValues,
        one._default ?? null,
      ]),
    },
  };
}

async function refusals() {
  const refused = (inputs, { model = DENSE, ...parameters } = {}) =>
    texts.refusal(() => embed(model, inputs, { inputType: 'query', ...parameters }));
  const order = (documents, options) => texts.refusal(() => rerank({ documents, ...options }));
  const many = (count) => Array(count).fill('a');
  const long = ['apple '.repeat(3000)];
  const seen = {
    embed_model: await refused(['a'], { model: 'unknown-model' }),
    embed_with_reranker: await refused(['a'], { model: RERANKER }),
    embed_no_inputs: await refused([]),
    embed_too_many: await refused(many(97)),
    embed_empty_text: await refused(['']),
    embed_too_long: await refused(long, { truncate: 'NONE' }),
    embed_value: await refused(['a'], { inputType: 'bad-parameter' }),
    embed_no_input_type: await texts.refusal(() => embed(SPARSE, ['a'], undefined)),
    rerank_model: await order(['a'], { model: 'unknown-model' }),
    rerank_with_embedder: await order(['a'], { model: DENSE }),
    rerank_field: await order([{ text: 'a' }], { rankFields: ['custom-field'] }),
    rerank_fields: await order([{ a: 'a', b: 'b' }], { rankFields: ['a', 'b'] }),
    rerank_too_many: await order(many(101), {}),
    rerank_too_long: await order(long, {}),
  };
  if (MAJOR >= 8) {
    seen.embed_parameter = await refused(['a'], { temperature: 1 });
    seen.model = await texts.refusal(() => inference.getModel('no-such-model'));
  }
  return seen;
}

const seen = { dense: await dense(), rerank: await reranked() };
if (MAJOR >= 8) Object.assign(seen, { sparse: await sparse(), models: await models() });
seen.refusals = await refusals();
console.log(JSON.stringify(seen));
