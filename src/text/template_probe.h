// Finds out what a chat template understands by rendering small conversations and looking for their words in the text.
#pragma once

#include "text/chat_template.h"
#include "text/jinja/template.h"

namespace ferrum {

TemplateCapabilities probe_template(const jinja::Template& program, const ChatTemplateOptions& options);

}  // namespace ferrum
