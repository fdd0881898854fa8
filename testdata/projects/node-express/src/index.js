const express = require("express");

const app = express();
app.get("/", (request, response) => response.json({ hello: request.query.who ?? "world" }));

const server = app.listen(0, "127.0.0.1", async () => {
  const { port } = server.address();
  if (process.argv.includes("--self-check")) {
    const answer = await fetch(`http://127.0.0.1:${port}/?who=${process.env.USER_NAME ?? process.getuid()}`);
    console.log(answer.status, JSON.stringify(await answer.json()), process.env.NODE_ENV);
    server.close();
  }
});
