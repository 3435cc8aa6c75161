// The calls for texts of every generation of the JavaScript client, and its answers as plain values; see text_calls.py.

import { MAJOR } from './connect.mjs';

const round = (value) => Math.round(value * 10000) / 10000;
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const renamed = (part) => Object.fromEntries(Object.entries(part).map(([name, value]) => [camel(name), value]));

/** The options of a search, from a body of the API. Filters and parameters are the caller's: they are not renamed. */
export function searchOptions({ query, rerank, ...options }) {
  return { query: renamed(query), ...(rerank && { rerank: renamed(rerank) }), ...options };
}

/** What a search found: `[id, score, fields]` of each hit, and what was counted. */
export function answer({ result, usage }) {
  return {
    hits: result.hits.map(hit),
    usage: [usage.readUnits ?? null, usage.embedTotalTokens ?? null, usage.rerankUnits ?? null],
  };
}

export const hit = ({ _id, _score, fields }) => [_id, round(_score), fields];

/** How an index embeds text: from 9 on a field of the schema says so. */
export function embed(description) {
  if (MAJOR < 9) return parts(description.embed, description.embed.fieldMap, description.dimension);
  const fields = Object.entries(description.schema.fields);
  const [name, field] = fields.find(([, { type }]) => type === 'semantic_text');
  return parts(field, { text: name }, field.dimension);
}

const parts = ({ model, metric, readParameters, writeParameters }, fieldMap, dimension) => ({
  model,
  metric,
  field_map: fieldMap,
  read_parameters: readParameters,
  write_parameters: writeParameters,
  dimension: dimension ?? null,
});

const STATUSES = {
  PineconeBadRequestError: 400,
  PineconeNotFoundError: 404,
  PineconeConflictError: 409,
  PineconeFailedPreconditionError: 412,
  PineconeUnprocessableEntityError: 422,
};

/** `[status, text]` of what a call raised, or null. The status is null where the client asked no server. */
export async function refusal(call) {
  try {
    await call();
  } catch (error) {
    return [STATUSES[error.name] ?? null, `${error.name}: ${error.message}`];
  }
  return null;
}
