// Messages as clients send them to messages as a template understands them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/status.h"
#include "text/chat_template.h"

namespace ferrum {

// Checks that messages is an array of objects with a "role", and changes what the template cannot take:
//   content parts    joined with newlines to a string where it takes only strings; a string made one text part where it
//                    takes only parts. Parts other than text are kUnsupported.
//   content null     "" where null would print or fail
//   call arguments   a string holding a JSON object becomes that object where the template takes objects (most do, and
//                    print it with tojson), an object becomes its JSON where it takes only strings
//   role developer   "system" where the template does not know it
Result<nlohmann::ordered_json> adapt_messages(const nlohmann::ordered_json& messages,
                                              const TemplateCapabilities& capabilities);

}  // namespace ferrum
