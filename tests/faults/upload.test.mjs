// The uploads of the end-to-end tests, of 2 GB each.
process.env.UPLOAD_MB ??= '2048';
await import('../e2e/upload.test.mjs');
