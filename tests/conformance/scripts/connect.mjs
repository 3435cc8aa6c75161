// How each generation of the JavaScript client is pointed at a server, and what differs between their calls.
//
// The server and the key come from the environment, as in connect.py. The working folder is the client's environment:
// its node_modules has the client.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const FOLDER = process.cwd();
const require = createRequire(`${FOLDER}/`);
const { Pinecone } = require('@pinecone-database/pinecone');
const NAME = 'node_modules/@pinecone-database/pinecone/package.json';
export const MAJOR = Number(JSON.parse(readFileSync(`${FOLDER}/${NAME}`)).version.split('.')[0]);

/** The client. It takes the control plane's address only as an argument. */
export function client(apiKey = process.env.SERVER_KEY) {
  return new Pinecone({ apiKey, controllerHostUrl: process.env.SERVER_URL });
}

/** An index by the host of its description, with the calls of 8 and 9; version 4 takes plain arguments. */
export function openIndex(name, host, namespace = '', apiKey = undefined) {
  const index = client(apiKey).index(name, host).namespace(namespace);
  return MAJOR >= 8 ? index : new IndexOfVersion4(index);
}

class IndexOfVersion4 {
  constructor(index) {
    this.index = index;
  }
  upsert = ({ records }) => this.index.upsert(records);
  fetch = ({ ids }) => this.index.fetch(ids);
  query = (options) => this.index.query(options);
  update = (options) => this.index.update(options);
  deleteOne = ({ id }) => this.index.deleteOne(id);
  deleteMany = ({ ids }) => this.index.deleteMany(ids);
  deleteAll = () => this.index.deleteAll();
  listPaginated = (options) => this.index.listPaginated(options);
  describeIndexStats = () => this.index.describeIndexStats();
}
