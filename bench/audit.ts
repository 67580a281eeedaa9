import { constants, openSync, write } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
