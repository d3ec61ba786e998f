"use strict";

// What is tried here goes with the token that is typed in, and never with the session of the page.
const place = document.getElementById("reference");
window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  deepLinking: false,  // its links would stand inside buttons
  docExpansion: "list",
  defaultModelsExpandDepth: -1,
  syntaxHighlight: false,  // its colours are too dark on its dark ground
  validatorUrl: null,
  persistAuthorization: false,
});
