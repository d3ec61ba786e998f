"use strict";

// What is tried here goes with the token that is typed in, and never with the session of the page.
const place = document.getElementById("reference");
window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  validatorUrl: null,
  persistAuthorization: false,
});
