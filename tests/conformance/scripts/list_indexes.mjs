// The names of all indexes, as the client lists them: `list_indexes.mjs`.

import { client } from './connect.mjs';

const { indexes } = await client().listIndexes();
console.log(JSON.stringify(indexes.map(({ name }) => name).sort()));
