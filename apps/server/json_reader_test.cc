// JSON from strangers: bounded before it is built, refused with a position, and read with errors that name the path.
#include "apps/server/json_reader.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

std::string error_of(std::string_view text, JsonLimits limits = {}) {
  const Result<Json> parsed = parse_json(text, limits);
  return parsed.is_ok() ? "" : parsed.status().message();
}

TEST(JsonReader, WrongJsonIsRefusedWithLineAndColumn) {
  const std::string error = error_of("{\n  \"a\": ?\n}");
  EXPECT_NE(error.find("line 2, column 8"), std::string::npos) << error;
  for (const char* bad : {"", "{", "}", "[1,]", "{\"a\":}", "{'a':1}", "NaN", "[Infinity]", "01", "\"\\x\"", "1 2",
                          "{\"a\":1,}", "\"\xff\"", "\"\xc0\xaf\"", "[1e999]", "\"", "[\"\\ud800\"]", "// no\n1"}) {
    EXPECT_NE(error_of(bad), "") << bad;
  }
}

TEST(JsonReader, ErrorsAreValidUtf8WhenDumped) {
  ApiError error;
  error.message = error_of("{\"a\": \"\xff\xfe\"}");
  EXPECT_TRUE(Json::accept(dump(error.to_json())));
}

TEST(JsonReader, DepthIsBoundedAndBracketsInStringsDoNotCount) {
  JsonLimits limits;
  limits.max_depth = 3;
  EXPECT_EQ(error_of("[[[1]]]", limits), "");
  EXPECT_NE(error_of("[[[[1]]]]", limits).find("deeper than 3"), std::string::npos);
  EXPECT_EQ(error_of(R"(["[[[[[[", "\"[[[[{{{"])", limits), "");
  EXPECT_NE(error_of(std::string(5'000'000, '[')), "");  // and no stack overflow
}

TEST(JsonReader, MembersAndValuesAreBounded) {
  JsonLimits limits;
  limits.max_members = 3;
  limits.max_values = 10;
  EXPECT_EQ(error_of(R"({"a":1,"b":2,"c":3})", limits), "");
  EXPECT_NE(error_of(R"({"a":1,"b":2,"c":3,"d":4})", limits).find("more than 3 members"), std::string::npos);
  EXPECT_NE(error_of("[1,2,3,4,5,6,7,8,9,10,11,12]", limits).find("more than 10 values"), std::string::npos);
}

TEST(FieldReader, ReadsTypesAndTreatsNullAsAbsent) {
  const Json object = Json::parse(R"({"b":true,"i":7,"f":0.5,"s":"x","n":null,"big":18446744073709551615,"neg":-3})");
  FirstError errors;
  FieldReader fields(object, "", errors);
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(fields.integer("i", 0, 10), 7);
  EXPECT_EQ(fields.number("f"), 0.5);
  EXPECT_EQ(fields.number("i"), 7.0);
  EXPECT_EQ(fields.string("s"), "x");
  EXPECT_EQ(fields.string("n"), std::nullopt);
  EXPECT_EQ(fields.string("absent"), std::nullopt);
  EXPECT_EQ(fields.seed("big"), UINT64_MAX);
  EXPECT_EQ(fields.seed("neg"), static_cast<uint64_t>(-3));
  fields.refuse_unknown({});
  EXPECT_FALSE(errors);
}

TEST(FieldReader, WrongTypesNameThePath) {
  const Json object = Json::parse(R"({"b":1,"i":1.5,"f":"x","s":[],"big":18446744073709551615})");
  const auto param = [&](auto read) {
    FirstError errors;
    FieldReader fields(object, "messages[2]", errors);
    read(fields);
    return errors ? (*errors).param : "no error";
  };
  EXPECT_EQ(param([](FieldReader& f) { f.boolean("b"); }), "messages[2].b");
  EXPECT_EQ(param([](FieldReader& f) { f.integer("i", 0, 9); }), "messages[2].i");
  EXPECT_EQ(param([](FieldReader& f) { f.number("f"); }), "messages[2].f");
  EXPECT_EQ(param([](FieldReader& f) { f.string("s"); }), "messages[2].s");
  EXPECT_EQ(param([](FieldReader& f) { f.integer("big", 0, INT64_MAX); }), "messages[2].big");
  EXPECT_EQ(param([](FieldReader& f) { f.seed("f"); }), "messages[2].f");
}

TEST(FieldReader, TheFirstErrorStaysAndUnknownFieldsAreNamed) {
  const Json object = Json::parse(R"({"known":1,"harmless":2,"typo":3})");
  FirstError errors;
  FieldReader fields(object, "", errors);
  fields.integer("known", 0, 5);
  constexpr std::string_view kIgnored[] = {"harmless"};
  fields.refuse_unknown(kIgnored);
  ASSERT_TRUE(errors);
  EXPECT_EQ((*errors).param, "typo");
  errors.set("later", "another");
  EXPECT_EQ((*errors).param, "typo");

  FirstError not_object;
  const Json array = Json::array();
  FieldReader none(array, "", not_object);
  EXPECT_EQ(none.string("x"), std::nullopt);
  EXPECT_NE((*not_object).message.find("the body must be an object"), std::string::npos);
}

}  // namespace
}  // namespace ferrum
