// Answers of every generation of the client as plain values, so that they can be compared; see plain.py.

const round = (value) => Math.round(value * 10000) / 10000;
const sorted = (entries) => Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));

export const matches = ({ matches }) => matches.map(({ id, score }) => [id, round(score)]);
export const ids = ({ matches }) => matches.map(({ id }) => id);

export function record({ id, values, sparseValues, metadata }) {
  const seen = { id };
  if (values?.length) seen.values = values.map(round);
  if (sparseValues?.indices?.length) {
    seen.sparse_values = { indices: sparseValues.indices, values: sparseValues.values.map(round) };
  }
  if (metadata && Object.keys(metadata).length) seen.metadata = metadata;
  return seen;
}

export const fetched = ({ records }) => sorted(Object.entries(records).map(([id, one]) => [id, record(one)]));

export const namespace = (name) => (name === '__default__' ? '' : name);
export const counts = ({ namespaces }) =>
  sorted(Object.entries(namespaces ?? {}).map(([name, summary]) => [namespace(name), summary.recordCount]));

export async function failure(call) {
  try {
    await call();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
  return null;
}
